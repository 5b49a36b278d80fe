package sqlite

import (
	"strconv"

	"postrider/store"
	"postrider/store/blob"
)

// Statements over many messages are one for a whole set of UIDs, however many
// ranges it has: the set is a parameter, written as JSON, [[lo, hi, shift], …],
// and json_each makes a table of it.

// setOf writes the parameter. Shift is by how much the UIDs change when they
// are given anew from first on, in the same order.
func setOf(uids store.UIDSet, first store.UID) string {
	b := make([]byte, 0, 32*len(uids)+2)
	b = append(b, '[')
	next := int64(first)
	for i, r := range uids {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = strconv.AppendInt(b, int64(r.Lo), 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, int64(r.Hi), 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, next-int64(r.Lo), 10)
		b = append(b, ']')
		next += int64(r.Hi) - int64(r.Lo) + 1
	}
	return string(append(b, ']'))
}

// inSet joins a set r, parameter 3, with the messages m that are in it, of
// account and mailbox in parameters 1 and 2. The set comes first: each range
// is then one search.
const inSet = `json_each(?3) r CROSS JOIN message m
	WHERE m.acct = ?1 AND m.mbox = ?2 AND m.uid BETWEEN r.value ->> 0 AND r.value ->> 1`

// unrefMessages takes the references of messages from their bodies, and
// removes the bodies that have no other. Space in segments is added to dead,
// to be dropped after the commit.
func unrefMessages(t *tx, box store.MailboxID, uids store.UIDSet, dead *[]deadBody) error {
	err := t.run(`INSERT INTO temp.unref (body, left, place)
		SELECT x.body, ifnull(r.refs, 1) - x.n, iif(ifnull(r.refs, 1) > x.n, -1, (SELECT place FROM body WHERE id = x.body))
		FROM (SELECT m.body, count(*) AS n FROM `+inSet+` GROUP BY m.body) x LEFT JOIN body_ref r ON r.id = x.body`,
		int64(box.Account), box.N, setOf(uids, 0))
	if err != nil {
		return err
	}
	var none, inline int // bodies without references, and those of them in the database
	err = t.get("SELECT count(*) FILTER (WHERE left < 1), count(*) FILTER (WHERE place = 0) FROM temp.unref",
		nil, &none, &inline)
	if err != nil {
		return err
	}
	if none > inline {
		err := t.each("SELECT b.seg, b.off, b.size FROM temp.unref u JOIN body b ON b.id = u.body WHERE u.place = ?1",
			args(placeSegment), func(scan func(...any) error) error {
				var seg, off, size int64
				err := scan(&seg, &off, &size)
				*dead = append(*dead, deadBody{blob.Loc{Seg: seg, Off: off}, size})
				return err
			})
		if err != nil {
			return err
		}
	}
	for _, q := range []struct {
		needed bool
		text   string
	}{
		{inline > 0, "DELETE FROM body_data WHERE id IN (SELECT body FROM temp.unref WHERE place = 0)"},
		{none > 0, "DELETE FROM body WHERE id IN (SELECT body FROM temp.unref WHERE left < 1)"},
		{true, "DELETE FROM body_ref WHERE id IN (SELECT body FROM temp.unref WHERE left < 2)"},
		{true, "UPDATE body_ref SET refs = u.left FROM temp.unref u WHERE u.left > 1 AND body_ref.id = u.body"},
		{true, "DELETE FROM temp.unref"},
	} {
		if !q.needed {
			continue
		}
		if err := t.run(q.text); err != nil {
			return err
		}
	}
	return nil
}

// deleteMessages deletes rows of message.
func deleteMessages(t *tx, box store.MailboxID, uids store.UIDSet) error {
	const few = 4
	if len(uids) > few {
		err := t.run(`DELETE FROM message WHERE acct = ?1 AND mbox = ?2 AND uid IN (SELECT m.uid FROM `+inSet+`)`,
			int64(box.Account), box.N, setOf(uids, 0))
		return err
	}
	for _, r := range uids {
		err := t.run("DELETE FROM message WHERE acct = ?1 AND mbox = ?2 AND uid BETWEEN ?3 AND ?4",
			int64(box.Account), box.N, int64(r.Lo), int64(r.Hi))
		if err != nil {
			return err
		}
	}
	return nil
}
