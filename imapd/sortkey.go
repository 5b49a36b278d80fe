package imapd

import (
	"encoding/binary"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/order"
	"postrider/mail"
	"postrider/store"
)

// maxKeyBytes is how many bytes of keys one SORT or THREAD may hold.
const maxKeyBytes = 256 << 20

// sortKeyItem is the item under which keys are kept among what FETCH has
// rendered: like those texts they never change, and take memory from the same
// bound.
const sortKeyItem = "sort key"

// sortKey is what SORT and THREAD know of a message, in the bytes in which it
// is kept: flags, the sent date in seconds, the message's and its ancestors'
// Message-IDs, and the collated texts of keyTexts, each with its length. It is
// empty for a message that is gone.
type sortKey []byte

const (
	keyDated byte = 1 << iota // there is a sent date
	keyReply                  // the subject is that of a reply or a forward
)

// keyTexts are the texts of a key, in their order.
var keyTexts = [...]order.Key{order.Subject, order.From, order.To, order.Cc, order.DisplayFrom, order.DisplayTo}

// appendSortKey makes the key of a message.
func appendSortKey(b []byte, c *store.Content) []byte {
	h := envelopeOf(c)
	base, reply := order.BaseSubject(mail.DecodeText(h.Subject))
	sent, err := mail.ParseSentDate(h.Date)
	var flags byte
	if err == nil {
		flags |= keyDated
	}
	if reply {
		flags |= keyReply
	}
	b = binary.LittleEndian.AppendUint64(append(b, flags), uint64(sent.Unix()))
	id := order.IdentityOf(h.MessageID, h.References, h.InReplyTo)
	b = binary.LittleEndian.AppendUint64(b, uint64(id.Self))
	b = append(b, byte(len(id.References))) // at most MaxReferences
	for _, r := range id.References {
		b = binary.LittleEndian.AppendUint64(b, uint64(r))
	}
	from, to, cc := firstAddress(h.From), firstAddress(h.To), firstAddress(h.Cc)
	for _, text := range []string{base, from.Local, to.Local, cc.Local, displayed(from), displayed(to)} {
		b = appendText(b, text)
	}
	return b
}

// appendText appends a collated text behind its length of two bytes.
func appendText(b []byte, text string) []byte {
	at := len(b)
	b = order.AppendCollated(append(b, 0, 0), text)
	binary.LittleEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	return b
}

// firstAddress is the first address of an ENVELOPE's list; a group's beginning
// has its name where an address has its local part (RFC 9051 §7.5.2).
func firstAddress(field string) mail.ListAddress {
	if list := mail.ParseAddressList(field); len(list) > 0 {
		return list[0]
	}
	return mail.ListAddress{}
}

// displayed is the text by which DISPLAYFROM and DISPLAYTO sort an address (RFC
// 5957 §3).
func displayed(a mail.ListAddress) string {
	if name := mail.DecodeText(a.Name); name != "" {
		return name
	}
	if a.Local != "" && a.Domain != "" {
		return a.Local + "@" + a.Domain
	}
	return a.Local
}

// sent is the sent date of the message at an index, which is when it arrived if
// it does not say (RFC 5256 §2.2).
func (k sortKey) sent(g *ground, i int) int64 {
	if len(k) == 0 || k[0]&keyDated == 0 {
		return g.row(i).Received.Unix()
	}
	return int64(binary.LittleEndian.Uint64(k[1:]))
}

const keyHead = 1 + 8 + 8 + 1 // flags, date, Message-ID, number of references

// text is one of the texts.
func (k sortKey) text(of order.Key) []byte {
	if len(k) == 0 {
		return nil
	}
	rest := k[keyHead+8*int(k[keyHead-1]):]
	for _, key := range keyTexts {
		n := 2 + int(binary.LittleEndian.Uint16(rest))
		if key == of {
			return rest[2:n:n]
		}
		rest = rest[n:]
	}
	return nil
}

// message is what threading knows of the message at an index.
func (k sortKey) message(g *ground, i int) order.Message {
	m := order.Message{Sent: k.sent(g, i)}
	if len(k) == 0 {
		return m
	}
	m.Subject, m.Reply = k.text(order.Subject), k[0]&keyReply != 0
	m.Identity.Self = order.MessageID(binary.LittleEndian.Uint64(k[9:]))
	n := int(k[keyHead-1])
	m.Identity.References = make([]order.MessageID, n)
	for r := range n {
		m.Identity.References[r] = order.MessageID(binary.LittleEndian.Uint64(k[keyHead+8*r:]))
	}
	return m
}

// readKeys returns the keys of the messages at indices, which ascend.
func (s *session) readKeys(g *ground, indices []int) ([]sortKey, error) {
	r := &keyReader{s: s, g: g, indices: indices, keys: make([]sortKey, len(indices))}
	var missing []int
	var b *block
	for k, i := range indices {
		uid := g.view.UID(i)
		if n := uid >> blockShift; k == 0 || n != r.key.n {
			r.key = r.keyOf(n)
			b = s.srv.rendered.get(r.key)
		}
		if text := b.of(int(uid) % blockMessages); len(text) > 0 {
			r.keys[k] = text
			if err := r.count(text); err != nil {
				return nil, err
			}
		} else {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return r.keys, nil
	}
	p := s.newProgress("Sorting", len(missing))
	done := 0
	err := s.srv.o.Store.Fetch(s.c.ctx, g.id, g.uids(missing), store.NeedMeta, func(c *store.Content) error {
		if done++; done%64 == 0 {
			if err := p.look(done); err != nil {
				return err
			}
		}
		return r.message(c)
	})
	if err != nil {
		return nil, s.wireError(err, "sort")
	}
	r.end()
	return r.keys, nil
}

// keyReader makes keys of messages that come in the order of their UIDs, and
// keeps them block by block.
type keyReader struct {
	s       *session
	g       *ground
	indices []int
	keys    []sortKey
	at      int // of indices: those before it are behind
	bytes   int

	key   blockKey
	fresh freshTexts
	open  bool // fresh has something
}

func (r *keyReader) keyOf(n store.UID) blockKey {
	return blockKey{box: r.g.id, validity: r.g.view.Mailbox().UIDValidity, n: n, item: sortKeyItem}
}

// count notes that more is held, and refuses what is too much.
func (r *keyReader) count(key sortKey) error {
	if r.bytes += len(key); r.bytes > maxKeyBytes {
		return no(imap.ResponseCodeLimit, "There is too much to sort")
	}
	return nil
}

func (r *keyReader) message(c *store.Content) error {
	if n := c.UID >> blockShift; !r.open || n != r.key.n {
		r.end()
		r.key, r.open = r.keyOf(n), true
		r.fresh.reset()
	}
	in := int(c.UID) % blockMessages
	from := len(r.fresh.text)
	r.fresh.text = appendSortKey(r.fresh.text, c)
	r.fresh.at[in].from, r.fresh.at[in].to = uint32(from), uint32(len(r.fresh.text))
	return r.count(r.fresh.text[from:])
}

// end keeps a block and hands out its keys.
func (r *keyReader) end() {
	if !r.open {
		return
	}
	r.open = false
	b := r.s.srv.rendered.get(r.key).with(r.key, &r.fresh)
	r.s.srv.rendered.put(b)
	for ; r.at < len(r.indices); r.at++ {
		uid := r.g.view.UID(r.indices[r.at])
		if uid>>blockShift > r.key.n {
			return
		}
		if uid>>blockShift == r.key.n && r.keys[r.at] == nil {
			r.keys[r.at] = b.of(int(uid) % blockMessages)
		}
	}
}
