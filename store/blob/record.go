package blob

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// A record of DropMin bytes or more begins at a multiple of align, so that its
// space can be given back whole; smaller ones, of batches, at a multiple of
// step. Its header is magic, codec, id, size, SHA-256 and a checksum of these;
// then come blocks of blockSize bytes, the last one shorter, each followed by
// a checksum of id, block number and bytes.
const (
	align      = 4096
	step       = 64
	headerSize = 64
	blockSize  = 64 << 10
	sumSize    = 4
	magic      = "PRb1"
)

// ErrDamaged says that a record is not what was written.
var ErrDamaged = errors.New("blob: damaged record")

// ErrDropped says that there is no record any more: its space was given back.
var ErrDropped = errors.New("blob: dropped record")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is what names and describes a body.
type Record struct {
	ID   int64
	Size int64
	Hash [32]byte
}

// DropMin is the size from which the space of a single record is worth giving
// back: below, the file system's bookkeeping costs more than it yields.
const DropMin = 64 << 10

// alignOf returns what the offset of a record is a multiple of.
func alignOf(size int64) int64 {
	if size >= DropMin {
		return align
	}
	return step
}

// stored returns how many bytes a record takes in its segment.
func stored(size int64) int64 {
	blocks := (size + blockSize - 1) / blockSize
	return roundUp(headerSize+size+blocks*sumSize, alignOf(size))
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

func (r Record) header() []byte {
	h := make([]byte, headerSize)
	copy(h, magic) // h[4:8] is the codec: 0, as it is
	binary.BigEndian.PutUint64(h[8:], uint64(r.ID))
	binary.BigEndian.PutUint64(h[16:], uint64(r.Size))
	copy(h[24:], r.Hash[:])
	binary.BigEndian.PutUint32(h[60:], crc32.Checksum(h[:60], castagnoli))
	return h
}

// checkHeader compares a header with what a row says of it.
func (r Record) checkHeader(h []byte) error {
	if string(h) == string(r.header()) {
		return nil
	}
	for _, b := range h {
		if b != 0 {
			return ErrDamaged
		}
	}
	return ErrDropped
}

func blockSum(id, n int64, data []byte) uint32 {
	var k [16]byte
	binary.BigEndian.PutUint64(k[:], uint64(id))
	binary.BigEndian.PutUint64(k[8:], uint64(n))
	return crc32.Update(crc32.Checksum(k[:], castagnoli), castagnoli, data)
}

// write writes the record of body at off.
func (r Record) write(f io.WriterAt, off int64, body io.ReaderAt) error {
	if _, err := f.WriteAt(r.header(), off); err != nil {
		return err
	}
	off += headerSize
	buf := make([]byte, 0, 8*(blockSize+sumSize))
	for n := int64(0); n*blockSize < r.Size; n++ {
		want := min(blockSize, r.Size-n*blockSize)
		at := len(buf)
		buf = buf[:at+int(want)]
		if got, err := body.ReadAt(buf[at:], n*blockSize); int64(got) < want {
			return fmt.Errorf("blob: reading the body: %w", eof(err))
		}
		buf = binary.BigEndian.AppendUint32(buf, blockSum(r.ID, n, buf[at:]))
		if len(buf)+blockSize+sumSize > cap(buf) || (n+1)*blockSize >= r.Size {
			if _, err := f.WriteAt(buf, off); err != nil {
				return err
			}
			off, buf = off+int64(len(buf)), buf[:0]
		}
	}
	return nil
}

func eof(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Reader reads one record. Every byte that it returns has been verified.
type Reader struct {
	rec  Record
	f    File
	off  int64 // of the first block
	mu   sync.Mutex
	buf  []byte // the block read last with its checksum
	have int64  // its number, -1 for none
}

// Size returns the body's size.
func (r *Reader) Size() int64 { return r.rec.Size }

// Close ends reading.
func (r *Reader) Close() error { return r.f.Close() }

// ReadAt reads from the body, as io.ReaderAt says.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("blob: negative offset")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	done := 0
	for done < len(p) {
		if off >= r.rec.Size {
			return done, io.EOF
		}
		if err := r.load(off / blockSize); err != nil {
			return done, err
		}
		n := copy(p[done:], r.buf[off%blockSize:len(r.buf)-sumSize])
		done, off = done+n, off+int64(n)
	}
	return done, nil
}

// load reads and verifies block n.
func (r *Reader) load(n int64) error {
	if r.have == n {
		return nil
	}
	r.have = -1
	size := min(blockSize, r.rec.Size-n*blockSize) + sumSize
	if int64(cap(r.buf)) < size {
		r.buf = make([]byte, size)
	}
	r.buf = r.buf[:size]
	if got, err := r.f.ReadAt(r.buf, r.off+n*(blockSize+sumSize)); int64(got) < size {
		if err == io.EOF {
			err = ErrDamaged
		}
		return fmt.Errorf("blob: body %d, block %d: %w", r.rec.ID, n, err)
	}
	if binary.BigEndian.Uint32(r.buf[size-sumSize:]) != blockSum(r.rec.ID, n, r.buf[:size-sumSize]) {
		return fmt.Errorf("blob: body %d, block %d: %w", r.rec.ID, n, ErrDamaged)
	}
	r.have = n
	return nil
}
