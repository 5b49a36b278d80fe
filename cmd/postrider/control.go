package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"postrider/internal/maillog"
	"postrider/internal/netserve"
	"postrider/store"
)

// The control socket carries one request per connection: a line of JSON, for
// some operations a body until the client closes its half, and a line of JSON
// as the answer. Who may open the socket may do everything.
const (
	maxRequest     = 1 << 20          // bytes of the line
	requestTimeout = time.Minute      // between two reads of a request
	controlConns   = 64               // at once
	controlWait    = 10 * time.Second // for a server that has the lock but no socket yet
)

// request asks the server, or the local store, for an operation.
type request struct {
	Do   string          `json:"do"`
	Args json.RawMessage `json:"args,omitempty"`
	// Progress asks for lines that tell of it.
	Progress bool `json:"progress,omitempty"`
}

// response answers a request: Error is empty if it was carried out. Before the
// answer there may be lines that only tell of progress.
type response struct {
	Result   json.RawMessage `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
	Progress *progress       `json:"progress,omitempty"`
}

// operation is one entry of the table in admin.go.
type operation func(ctx context.Context, a *admin, args json.RawMessage, body io.Reader) (any, error)

// op makes an operation of a function with typed arguments and no body.
func op[A, R any](f func(context.Context, *admin, A) (R, error)) operation {
	return opBody(func(ctx context.Context, a *admin, args A, _ io.Reader) (R, error) { return f(ctx, a, args) })
}

func opBody[A, R any](f func(context.Context, *admin, A, io.Reader) (R, error)) operation {
	return func(ctx context.Context, a *admin, raw json.RawMessage, body io.Reader) (any, error) {
		var args A
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &args); err != nil {
				return nil, store.Errorf(store.Invalid, "control", "arguments: %w", err)
			}
		}
		return f(ctx, a, args, body)
	}
}

// runDir holds what exists only while a server runs.
func runDir(data string) string { return filepath.Join(data, "run") }

func controlPath(data string) string { return filepath.Join(runDir(data), "control.sock") }

// maxSocketPath is what fits sockaddr_un on every system.
const maxSocketPath = 100

// viaShortPath calls f with a path of the socket that is short enough for the
// kernel, by way of the directory's descriptor if need be.
func viaShortPath(path string, f func(string) error) error {
	if len(path) <= maxSocketPath {
		return f(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}

// listenUnix opens a unix socket, taking the place of one that a dead process
// left, and gives it the mode. A directory that it makes lets in whom the
// socket lets in.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err != nil {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		if mode&0o077 != 0 {
			if err := os.Chmod(dir, 0o755); err != nil {
				return nil, err
			}
		}
	}
	var l net.Listener
	err := viaShortPath(path, func(p string) error {
		if info, err := os.Lstat(p); err == nil && info.Mode()&fs.ModeSocket != 0 {
			c, err := net.Dial("unix", p)
			if err == nil {
				c.Close()
				return fmt.Errorf("somebody listens on %s already", path)
			}
			os.Remove(p)
		}
		u, err := net.ListenUnix("unix", &net.UnixAddr{Name: p, Net: "unix"})
		if err != nil {
			return err
		}
		// The name that it would unlink is the descriptor's, gone by then.
		u.SetUnlinkOnClose(p == path)
		l = u
		return os.Chmod(p, mode)
	})
	return l, err
}

// controlServer serves the control socket in the data directory.
func controlServer(a *admin) *netserve.Server {
	return &netserve.Server{Name: "control", MaxConns: controlConns, Log: a.log,
		Handle: func(ctx context.Context, c net.Conn) { a.serveControl(ctx, c) }}
}

// serveControl answers one request.
func (a *admin) serveControl(ctx context.Context, c net.Conn) {
	in := bufio.NewReader(&deadlineReader{c})
	line, err := readLine(in, maxRequest)
	if err != nil {
		return
	}
	var req request
	var res response
	if err := json.Unmarshal(line, &req); err == nil && req.Progress {
		out := json.NewEncoder(c)
		ctx = withProgress(ctx, func(p progress) {
			c.SetWriteDeadline(time.Now().Add(requestTimeout))
			out.Encode(response{Progress: &p})
		})
	}
	if err := json.Unmarshal(line, &req); err != nil {
		res.Error = "the request is no JSON"
	} else if result, err := a.do(ctx, req, in); err != nil {
		res.Error = oneLine(err)
		if store.KindOf(err) == store.Internal && !errors.As(err, new(adminError)) {
			a.log.Error(maillog.Failed, "proto", "control", "doing", req.Do, "err", err)
		}
	} else if res.Result, err = json.Marshal(result); err != nil {
		res.Error = oneLine(err)
	}
	c.SetWriteDeadline(time.Now().Add(requestTimeout))
	json.NewEncoder(c).Encode(res)
}

// deadlineReader gives each read its time.
type deadlineReader struct{ c net.Conn }

func (d *deadlineReader) Read(p []byte) (int, error) {
	d.c.SetReadDeadline(time.Now().Add(requestTimeout))
	return d.c.Read(p)
}

func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return nil, errors.New("the line is too long")
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// dialControl connects to the server that runs on a data directory.
func dialControl(data string) (c *net.UnixConn, err error) {
	err = viaShortPath(controlPath(data), func(p string) error {
		c, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: p, Net: "unix"})
		return err
	})
	return c, err
}

// ask sends one request over the control socket; tell may be nil.
func ask(c *net.UnixConn, req request, body io.Reader, tell func(progress)) (json.RawMessage, error) {
	defer c.Close()
	line, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	in := io.Reader(bytes.NewReader(append(line, '\n')))
	if body != nil {
		in = io.MultiReader(in, body)
	}
	// A server that answers before it has read all closes the connection:
	// what it said counts, not that writing failed.
	_, writeErr := io.Copy(c, in)
	c.CloseWrite()
	var res response
	for in := json.NewDecoder(c); ; {
		res = response{}
		if err := in.Decode(&res); err != nil {
			return nil, fmt.Errorf("the server broke off without an answer: %w", errors.Join(writeErr, err))
		}
		if res.Progress == nil {
			break
		}
		if tell != nil {
			tell(*res.Progress)
		}
	}
	if res.Error != "" {
		return nil, adminError{res.Error}
	}
	return res.Result, nil
}

// do carries an operation out: by the server that runs on the data directory,
// or, if none does, here and now under its lock. Result may be nil.
func (c *cli) do(f *flags, name string, args any, body io.Reader, result any) error {
	cfg, err := f.load(c)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return err
	}
	out, err := c.perform(cfg, request{Do: name, Args: raw, Progress: c.tell != nil}, body)
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(out, result)
}

func (c *cli) perform(cfg *Config, req request, body io.Reader) (json.RawMessage, error) {
	if _, err := os.Stat(cfg.DataDir); err != nil {
		return nil, fmt.Errorf("there is no data directory %s; start the server once, or name another with --config or --data", cfg.DataDir)
	}
	var locked *lockedError
	for end := time.Now().Add(controlWait); ; time.Sleep(50 * time.Millisecond) {
		conn, err := dialControl(cfg.DataDir)
		if err == nil {
			return ask(conn, req, body, c.tell)
		}
		if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) {
			return nil, fmt.Errorf("no access to %s; run this as root or as the server's user", cfg.DataDir)
		}
		out, err := c.performHere(cfg, req, body)
		if !errors.As(err, &locked) {
			return out, err
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("process %d on %s has the data directory %s and does not answer; try again when it has started or stopped",
				locked.holder.PID, locked.holder.Host, cfg.DataDir)
		}
	}
}

// performHere carries an operation out in this process.
func (c *cli) performHere(cfg *Config, req request, body io.Reader) (json.RawMessage, error) {
	if err := actAsOwner(cfg.DataDir); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	a, err := openAdmin(cfg)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if c.tell != nil {
		ctx = withProgress(ctx, c.tell)
	}
	result, err := a.do(ctx, req, body)
	if cerr := a.store.Close(); err == nil && cerr != nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}
