package replicas

import (
	"cmp"
	"sync"
)

// inBatches calls f n times, first once, then twice at a time, then four times …, and stops after a batch with an
// error: where one pod is refused, a thousand would be.
func inBatches(n int, f func() error) error {
	for size := 1; n > 0; size *= 2 {
		size = min(size, n)
		if err := together(size, func(int) error { return f() }); err != nil {
			return err
		}
		n -= size
	}
	return nil
}

// together calls f for 0 … n-1 at once. Of errors, which are likely to be one and the same, it returns the first.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { errs[i] = f(i) })
	}
	wait.Wait()
	return cmp.Or(errs...)
}
