#!/bin/sh
# Builds a Dockerfile of ten steps with a cold and a warm cache, beside buildah (vfs driver, chroot isolation).
# usage: bench/build.sh path/to/dhow; needs busybox (static) and buildah.
set -eu
dhow=${1:?usage: bench/build.sh path/to/dhow}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/context"
cp "$(command -v busybox)" "$dir/context/busybox"
head -c 4000000 /dev/urandom > "$dir/context/data"
cat > "$dir/context/Dockerfile" <<'EOF'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV A=1
RUN echo 1 > /one
RUN mkdir -p /usr/lib/app && echo 2 > /usr/lib/app/two
COPY data /usr/lib/app/data
RUN cp /usr/lib/app/data /usr/lib/app/copy
RUN seq 1 10000 > /numbers
WORKDIR /usr/lib/app
CMD ["/bin/sh"]
EOF
took() { # label, command…
	label=$1; shift
	begun=$(date +%s%N)
	"$@" > "$dir/log" 2>&1 || { cat "$dir/log"; echo "$label: failed"; return; }
	echo "$label: $(( ($(date +%s%N) - begun) / 1000000 )) ms"
}
took "dhow cold" "$dhow" --root "$dir/root" build -q -t bench "$dir/context"
took "dhow warm" "$dhow" --root "$dir/root" build -q -t bench "$dir/context"
took "dhow warm again" "$dhow" --root "$dir/root" build -q -t bench "$dir/context"
peer="buildah --root $dir/peer --runroot $dir/peer-run --storage-driver vfs build --isolation chroot --layers -q -t bench"
took "buildah cold" $peer "$dir/context"
took "buildah warm" $peer "$dir/context"
took "buildah warm again" $peer "$dir/context"
