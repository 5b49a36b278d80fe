package store

import "context"

type progressKey struct{}

// WithProgress returns a context that has Check tell fn how far it is, in
// bytes of bodies. Fn is called often, by one goroutine at a time.
func WithProgress(ctx context.Context, fn func(done, total int64)) context.Context {
	return context.WithValue(ctx, progressKey{}, fn)
}

// Progress returns what WithProgress put into ctx, or a function that does
// nothing.
func Progress(ctx context.Context) func(done, total int64) {
	if fn, ok := ctx.Value(progressKey{}).(func(done, total int64)); ok {
		return fn
	}
	return func(int64, int64) {}
}
