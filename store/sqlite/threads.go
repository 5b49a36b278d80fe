package sqlite

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"strings"

	"postrider/mail"
)

// maxRefs bounds how many of a message's References count: the last ones,
// which are the nearest ancestors (RFC 5322 §3.6.4).
const maxRefs = 20

// msgRefs is what connects a message with others: hashes of Message-IDs.
type msgRefs struct {
	self int64   // 0 without a Message-ID
	refs []int64 // nearest ancestor first
}

func refsOf(h *mail.HeaderInfo) msgRefs {
	var r msgRefs
	if ids := messageIDs(h.MessageID); len(ids) > 0 {
		r.self = hashID(ids[0])
	}
	ids := messageIDs(h.References)
	if parents := messageIDs(h.InReplyTo); len(parents) > 0 {
		ids = append(ids, parents[0])
	}
	seen := map[int64]bool{r.self: true}
	for i := len(ids) - 1; i >= 0 && len(r.refs) < maxRefs; i-- {
		if id := hashID(ids[i]); !seen[id] {
			seen[id] = true
			r.refs = append(r.refs, id)
		}
	}
	return r
}

// messageIDs finds the <…> of a header field.
func messageIDs(s string) []string {
	var ids []string
	for {
		_, rest, ok := strings.Cut(s, "<")
		if !ok {
			return ids
		}
		id, after, ok := strings.Cut(rest, ">")
		if !ok {
			return ids
		}
		if id = strings.TrimSpace(id); id != "" {
			ids = append(ids, id)
		}
		s = after
	}
}

// hashID shortens a Message-ID, never to 0.
func hashID(id string) int64 {
	h := sha256.Sum256([]byte(id))
	if n := int64(binary.BigEndian.Uint64(h[:8])); n != 0 {
		return n
	}
	return 1
}

// assignThread finds the thread of a message in an account: that of the
// message itself if it was here before, else of its nearest known ancestor,
// else fresh. It remembers the message and its ancestors under it, so that
// replies to one missing message meet. A thread is never changed later (RFC
// 8474 §5.2), so two that turn out to be one stay two.
func assignThread(t *tx, acct int64, r msgRefs, fresh int64) (int64, error) {
	if r.self == 0 && len(r.refs) == 0 {
		return fresh, nil
	}
	thread := fresh
	unknown := make([]int64, 0, len(r.refs)+1)
	for i, hash := range append([]int64{r.self}, r.refs...) {
		if hash == 0 {
			continue
		}
		var err error
		known, noted := t.filing.known[refKey{acct, hash}]
		if !noted {
			err = t.get("SELECT thread FROM msgref WHERE acct = ?1 AND hash = ?2", args(acct, hash), &known)
		}
		if errors.Is(err, sql.ErrNoRows) {
			unknown = append(unknown, hash)
			continue
		}
		if err != nil {
			return 0, err
		}
		thread = known
		if i == 0 {
			return thread, nil // nothing new
		}
		break // what is farther away was noted with this one
	}
	for _, hash := range unknown {
		t.filing.addRef(pendingRef{refKey{acct, hash}, thread, t.now})
	}
	return thread, nil
}
