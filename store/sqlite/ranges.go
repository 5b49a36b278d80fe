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
	_, err := t.exec(`INSERT INTO temp.unref (body, n, dead) SELECT b.id, x.n, iif(b.refs > x.n, 0, 1 + b.place)
		FROM (SELECT m.body, count(*) AS n FROM `+inSet+` GROUP BY m.body) x JOIN body b ON b.id = x.body`,
		int64(box.Account), box.N, setOf(uids, 0))
	if err != nil {
		return err
	}
	err = t.each("SELECT b.seg, b.off, b.size FROM temp.unref u JOIN body b ON b.id = u.body WHERE u.dead = 1 + ?1",
		args(placeSegment), func(scan func(...any) error) error {
			var seg, off, size int64
			err := scan(&seg, &off, &size)
			*dead = append(*dead, deadBody{blob.Loc{Seg: seg, Off: off}, size})
			return err
		})
	if err != nil {
		return err
	}
	for _, q := range []string{
		"DELETE FROM body_data WHERE id IN (SELECT body FROM temp.unref WHERE dead = 1)",
		"DELETE FROM body WHERE id IN (SELECT body FROM temp.unref WHERE dead > 0)",
		"UPDATE body SET refs = refs - u.n FROM temp.unref u WHERE body.id = u.body", // those that are left
		"DELETE FROM temp.unref",
	} {
		if _, err := t.exec(q); err != nil {
			return err
		}
	}
	return nil
}

// deleteMessages deletes rows of message.
func deleteMessages(t *tx, box store.MailboxID, uids store.UIDSet) error {
	const few = 4
	if len(uids) > few {
		_, err := t.exec(`DELETE FROM message WHERE acct = ?1 AND mbox = ?2 AND uid IN (SELECT m.uid FROM `+inSet+`)`,
			int64(box.Account), box.N, setOf(uids, 0))
		return err
	}
	for _, r := range uids {
		_, err := t.exec("DELETE FROM message WHERE acct = ?1 AND mbox = ?2 AND uid BETWEEN ?3 AND ?4",
			int64(box.Account), box.N, int64(r.Lo), int64(r.Hi))
		if err != nil {
			return err
		}
	}
	return nil
}
