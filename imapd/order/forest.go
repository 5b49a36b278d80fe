package order

import (
	"iter"
	"strconv"
)

// Threads yields the root of each thread.
func (f *Forest) Threads() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for _, r := range f.roots {
			if !yield(r) {
				return
			}
		}
	}
}

// AppendThread appends a thread as a thread-list (RFC 5256 §5); number gives
// the number of a message. Deep threads take no stack.
func (f *Forest) AppendThread(dst []byte, root int32, number func(i int) uint32) []byte {
	dst = append(dst, '(')
	// Of each level that branches, the sibling that comes next; none ends it.
	var level []int32
	for n := root; ; {
		if int(n) < f.messages {
			dst = strconv.AppendUint(dst, uint64(number(int(n))), 10)
		}
		switch c := f.first[n]; {
		case c == none:
			dst = append(dst, ')')
			for len(level) > 0 && level[len(level)-1] == none {
				level = level[:len(level)-1]
				dst = append(dst, ')')
			}
			if len(level) == 0 {
				return dst
			}
			n = level[len(level)-1]
			level[len(level)-1] = f.next[n]
			dst = append(dst, '(')
		case f.next[c] == none: // an only child follows its parent
			dst = append(dst, ' ')
			n = c
		default:
			if int(n) < f.messages {
				dst = append(dst, ' ')
			}
			level = append(level, f.next[c])
			dst = append(dst, '(')
			n = c
		}
	}
}

// below yields a node and all below it.
func (f *Forest) below(root int32) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		stack := []int32{root}
		for len(stack) > 0 {
			n := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if !yield(n) {
				return
			}
			for c := f.first[n]; c != none; c = f.next[c] {
				stack = append(stack, c)
			}
		}
	}
}
