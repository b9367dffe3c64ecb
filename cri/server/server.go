// Package server serves CRI v1, runtime and images, on a unix socket from any container.Runtime and image.Service. It
// keeps nothing of its own but the tokens of streams about to be opened.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/cri/socket"
	"dhow/image"
)

// Config of a Server.
type Config struct {
	// Socket is where it listens (/run/dhow/cri.sock). Only its owner may use it.
	Socket  string
	Runtime container.Runtime
	Images  image.Service
	// ImageDir is a folder on the file system that holds images and containers' layers.
	ImageDir string
	// SetPodCIDRs is told a node agent's networks for pods. Nil where they come from elsewhere.
	SetPodCIDRs func(context.Context, []netip.Prefix) error
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// maxMessage is containerd's, and what node agents expect.
const maxMessage = 16 << 20

// Server of CRI.
type Server struct {
	config   Config
	log      *slog.Logger
	listener net.Listener
	streams  *streams
}

// New makes the socket. Callers wait until Run.
func New(c Config) (*Server, error) {
	if c.Socket == "" || c.Runtime == nil || c.Images == nil || c.ImageDir == "" {
		return nil, errors.New("cri server: Socket, Runtime, Images and ImageDir must be set")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	listener, err := socket.Listen(c.Socket)
	if err != nil {
		return nil, fmt.Errorf("cri server: %w", err)
	}
	return &Server{config: c, log: c.Log, listener: listener, streams: newStreams(c.Runtime, c.Log)}, nil
}

// Close gives the socket up that a Server who will not Run has.
func (s *Server) Close() error {
	return errors.Join(s.listener.Close(), os.Remove(s.config.Socket))
}

// Run serves until ctx ends; what is under way then is cut off.
func (s *Server) Run(ctx context.Context) error {
	g := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage), grpc.WaitForHandlers(true),
		grpc.ChainUnaryInterceptor(explainUnary), grpc.ChainStreamInterceptor(explainStream))
	cri.RegisterRuntimeServiceServer(g, &runtimeService{Config: s.config, streams: s.streams})
	cri.RegisterImageServiceServer(g, &imageService{Config: s.config})
	stop := context.AfterFunc(ctx, g.Stop)
	defer stop()
	defer os.Remove(s.config.Socket)
	defer s.streams.close()
	err := g.Serve(s.listener)
	if ctx.Err() != nil {
		g.Stop() // waits for the calls that it cut off
		return nil
	}
	return fmt.Errorf("serve cri: %w", err)
}
