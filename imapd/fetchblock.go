package imapd

import (
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/store"
)

const (
	maxCachedNames = 32        // field names in a HEADER.FIELDS whose text is kept
	maxFresh       = 512 << 10 // bytes rendered before they are written
)

// errFresh ends the rendering of a block when much has come together.
var errFresh = errors.New("enough rendered")

// lasting is an item whose text in a response does not change as long as the
// message is there.
type lasting struct {
	name   string // as in the response
	need   store.Need
	render func(e *encoder, c *store.Content) error
}

// findLasting notes what a FETCH asks for, if it is only items whose texts are
// to be kept.
func (f *fetching) findLasting() {
	if len(f.o.BinarySection)+len(f.o.BinarySectionSize) > 0 {
		return
	}
	var items []lasting
	if f.o.Envelope {
		items = append(items, lasting{"ENVELOPE", store.NeedMeta, func(e *encoder, c *store.Content) error {
			h := envelopeOf(c)
			e.envelope(&h)
			return nil
		}})
	}
	for _, x := range []struct {
		asked    bool
		name     string
		extended bool
	}{{f.x.body, "BODY", false}, {f.x.extBody, "BODYSTRUCTURE", true}} {
		if x.asked {
			items = append(items, lasting{x.name, store.NeedMeta, func(e *encoder, c *store.Content) error {
				e.structure(&c.Meta.Root, x.extended)
				return nil
			}})
		}
	}
	if f.x.preview {
		items = append(items, lasting{"PREVIEW", store.NeedMeta | store.NeedBody, func(e *encoder, c *store.Content) error {
			text, err := previewOf(c)
			e.String(text)
			return err
		}})
	}
	for _, item := range f.o.BodySection {
		names := len(item.HeaderFields)
		if item.Specifier != imap.PartSpecifierHeader || len(item.Part) > 0 || item.Partial != nil ||
			names == 0 || names > maxCachedNames {
			return
		}
		items = append(items, lasting{f.sectionName(item), store.NeedMeta | store.NeedBody, func(e *encoder, c *store.Content) error {
			s, err := section(c, item)
			if err != nil {
				return err
			}
			e.Literal(s.bytes)
			return nil
		}})
	}
	f.lasting = items
	for _, item := range items {
		key := strings.ToUpper(item.name)
		if f.e.UTF8 {
			key += " UTF8"
		}
		if f.e.rev2 && strings.HasPrefix(key, "BODY") {
			key += " REV2"
		}
		f.keys = append(f.keys, key)
	}
}

// inBlock returns how many of the indices, which ascend, are of messages in
// the block of the first.
func (v *mailboxView) inBlock(indices []int) int {
	n := v.told.UID(indices[0]) >> blockShift
	for i, at := range indices {
		if v.told.UID(at)>>blockShift != n {
			return i
		}
	}
	return len(indices)
}

// block writes the responses for messages of one block, and returns for how
// many of the indices.
func (f *fetching) block(indices []int, marked map[int]store.Row) (int, error) {
	box := f.s.box
	blocks, n, err := f.render(indices)
	if err != nil {
		return 0, err
	}
	for _, i := range indices[:n] {
		r, isMarked := marked[i]
		there := isMarked
		if !isMarked {
			r, there = box.row(i)
		}
		in := int(r.UID) % blockMessages
		for _, b := range blocks {
			there = there && len(b.of(in)) > 0
		}
		if !there {
			f.missing = true
			continue
		}
		f.begin(i, r, f.o.Flags || isMarked)
		if isMarked {
			box.ahead[r.UID] = r.ModSeq
		}
		for k, b := range blocks {
			f.item(f.lasting[k].name)
			f.e.Raw(b.of(in))
		}
		f.e.Special(')')
		f.e.CRLF()
	}
	return n, nil
}

// render returns the blocks of all items with the texts of the messages at
// indices, as far as these are there, and for how many of the indices it went.
func (f *fetching) render(indices []int) ([]*block, int, error) {
	box, cache := f.s.box, f.s.srv.rendered
	key := blockKey{box: box.id, validity: box.told.Mailbox().UIDValidity, n: box.told.UID(indices[0]) >> blockShift}
	blocks := make([]*block, len(f.lasting))
	for k := range f.lasting {
		key.item = f.keys[k]
		blocks[k] = cache.get(key)
	}
	missing, need := f.lacking(blocks, indices)
	if len(missing) == 0 {
		return blocks, len(indices), nil
	}
	last, err := f.renderFresh(blocks, missing, need)
	n := len(indices)
	if errors.Is(err, errFresh) {
		for n > 0 && box.told.UID(indices[n-1]) > last {
			n--
		}
	} else if err != nil {
		return nil, 0, err
	}
	for k := range blocks {
		key.item = f.keys[k]
		blocks[k] = blocks[k].with(key, &f.fresh[k])
		cache.put(blocks[k])
	}
	return blocks, n, nil
}

// lacking returns which of the messages lack a text in one of the blocks, and
// what has to be read for those texts.
func (f *fetching) lacking(blocks []*block, indices []int) (missing []int, need store.Need) {
	for _, i := range indices {
		in, lacks := int(f.s.box.told.UID(i))%blockMessages, false
		for k, b := range blocks {
			if len(b.of(in)) == 0 {
				need |= f.lasting[k].need
				lacks = true
			}
		}
		if lacks {
			missing = append(missing, i)
		}
	}
	return missing, need
}

// renderFresh makes the texts that the blocks lack. It returns the last UID
// that it came to with errFresh.
func (f *fetching) renderFresh(blocks []*block, missing []int, need store.Need) (last store.UID, err error) {
	if f.fresh == nil {
		f.fresh = make([]freshTexts, len(f.lasting))
	}
	for k := range f.fresh {
		f.fresh[k].reset()
	}
	box := f.s.box
	e := encoder{Encoder: wire.Encoder{UTF8: f.e.UTF8}, rev2: f.e.rev2}
	err = f.s.srv.o.Store.Fetch(f.s.c.ctx, box.id, box.uids(missing), need, func(c *store.Content) error {
		in, total := int(c.UID)%blockMessages, 0
		for k, item := range f.lasting {
			t := &f.fresh[k]
			if len(blocks[k].of(in)) == 0 {
				e.Reset(t.text)
				if err := item.render(&e, c); err != nil {
					return err
				}
				t.at[in].from, t.at[in].to = uint32(len(t.text)), uint32(len(e.Bytes()))
				t.text = e.Bytes()
			}
			total += len(t.text)
		}
		if last = c.UID; total > maxFresh {
			return errFresh
		}
		return nil
	})
	return last, err
}
