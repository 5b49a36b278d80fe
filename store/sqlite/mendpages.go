package sqlite

import (
	"slices"

	"postrider/store"
)

// writePages writes the pages of every mailbox anew, of the rows of its
// messages and of what the old pages knew of flags and changes.
func (r *repair) writePages() error {
	type mailbox struct {
		box   store.MailboxID
		total int64
	}
	var boxes []mailbox
	err := r.t.each("SELECT acct, id, total FROM mailbox", nil, func(scan func(...any) error) error {
		var b mailbox
		err := scan(&b.box.Account, &b.box.N, &b.total)
		boxes = append(boxes, b)
		return err
	})
	if err != nil {
		return err
	}
	for _, b := range boxes {
		if err := r.writeBox(b.box, b.total); err != nil {
			return err
		}
	}
	return nil
}

// writeBox writes one mailbox's pages, and its expunged messages those that
// are lost. Its UIDs can be kept if every message that it has counted is
// accounted for.
func (r *repair) writeBox(box store.MailboxID, total int64) error {
	var now int64
	if err := r.t.get(`SELECT max((SELECT modseq FROM acct WHERE id = ?1), (SELECT max(modseq, created_modseq) FROM mailbox WHERE acct = ?1 AND id = ?2),
			ifnull((SELECT max(created_modseq) FROM message WHERE acct = ?1 AND mbox = ?2), 0)) + 1`, args(int64(box.Account), box.N), &now); err != nil {
		return err
	}
	old := r.rows[box]
	var rows store.Rows
	created := []int64{}
	flagless := 0
	err := r.t.each(`SELECT uid, created_modseq, received, saved, size, email_id, thread_id FROM message WHERE acct = ?1 AND mbox = ?2 ORDER BY uid`,
		args(int64(box.Account), box.N), func(scan func(...any) error) error {
			var uid, at, received, saved, size, email, thread int64
			if err := scan(&uid, &at, &received, &saved, &size, &email, &thread); err != nil {
				return err
			}
			row := store.Row{UID: store.UID(uid), ModSeq: store.ModSeq(now), Size: size, Received: fromMicros(received),
				Saved: fromMicros(saved), EmailID: email, ThreadID: thread}
			if known, ok := old[row.UID]; ok && known.Size == size {
				row = known // it has a checksum, and the row's times have none
			} else {
				flagless++
			}
			rows.Append(row)
			created = append(created, at)
			return nil
		})
	if err != nil {
		return err
	}
	if flagless > 0 {
		name, err := r.t.boxName(box)
		if err != nil {
			return err
		}
		r.say("%d messages of %s have lost their flags", flagless, name)
	}
	if err := r.alignRows(box, &rows, created); err != nil {
		return err
	}
	if err := (&pageWriter{t: r.t, box: box}).insertAll(&rows, 0); err != nil {
		return err
	}
	return r.expunged(box, &rows, total, now)
}

// alignRows makes message rows say what their page says, and their order of
// coming rise.
func (r *repair) alignRows(box store.MailboxID, rows *store.Rows, created []int64) error {
	floor := int64(1)
	for i := range rows.UID {
		created[i] = max(floor, min(created[i], int64(rows.ModSeq[i])))
		rows.ModSeq[i] = max(rows.ModSeq[i], store.ModSeq(created[i]))
		floor = created[i]
		_, err := r.t.exec(`UPDATE message SET created_modseq = ?4, received = ?5, saved = ?6, email_id = ?7, thread_id = ?8
			WHERE acct = ?1 AND mbox = ?2 AND uid = ?3 AND (created_modseq, received, saved, email_id, thread_id) IS NOT (?4, ?5, ?6, ?7, ?8)`,
			int64(box.Account), box.N, int64(rows.UID[i]), created[i], rows.Received[i], rows.Saved[i], rows.EmailID[i], rows.ThreadID[i])
		if err != nil {
			return err
		}
	}
	return nil
}

// expunged notes the messages that old pages have and that are lost.
func (r *repair) expunged(box store.MailboxID, rows *store.Rows, total, now int64) error {
	lost := store.UIDSet{}
	uids := []store.UID{}
	for uid := range r.rows[box] {
		if _, there := rows.Index(uid); !there {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	for _, uid := range uids {
		lost = addUID(lost, uid)
	}
	if total != int64(rows.Len()+len(uids)) {
		r.doubt[box] = true
	}
	for _, u := range lost {
		_, err := r.t.exec(`INSERT INTO gone (acct, mbox, modseq, uid_lo, uid_hi) SELECT ?1, ?2, ?3, ?4, ?5
			WHERE NOT EXISTS (SELECT 1 FROM gone WHERE acct = ?1 AND mbox = ?2 AND uid_lo <= ?5 AND uid_hi >= ?4)`,
			int64(box.Account), box.N, now, int64(u.Lo), int64(u.Hi))
		if err != nil {
			return err
		}
	}
	return nil
}

// mendNumbers works out the counters of mailboxes and accounts, and gives new
// UIDVALIDITYs.
func (r *repair) mendNumbers() error {
	err := r.all(`UPDATE acct SET modseq = max(1, modseq, ifnull((SELECT max(max(modseq), max(created_modseq)) FROM mailbox b WHERE b.acct = acct.id), 1),
			ifnull((SELECT max(modseq) FROM message_page p WHERE p.acct = acct.id), 1), ifnull((SELECT max(modseq) FROM gone g WHERE g.acct = acct.id), 1),
			ifnull((SELECT max(modseq) FROM gone_mbox g WHERE g.acct = acct.id), 1)) + 1,
		last_uidvalidity = max(last_uidvalidity, ?1 / 1000000, ifnull((SELECT max(uidvalidity) FROM mailbox b WHERE b.acct = acct.id), 1)),
		next_mbox = max(next_mbox, ifnull((SELECT max(id) FROM mailbox b WHERE b.acct = acct.id), 0) + 1, ifnull((SELECT max(mbox) FROM gone_mbox b WHERE b.acct = acct.id), 0) + 1),
		quota = max(0, quota), quota_count = max(0, quota_count)`,
		`UPDATE mailbox SET modseq = (SELECT modseq FROM acct WHERE id = mailbox.acct), created_modseq = min(created_modseq, modseq),
			uidnext = max(1, uidnext, ifnull((SELECT max(uid) FROM message m WHERE m.acct = mailbox.acct AND m.mbox = mailbox.id), 0) + 1,
				ifnull((SELECT max(uid_hi) FROM gone g WHERE g.acct = mailbox.acct AND g.mbox = mailbox.id), 0) + 1)`)
	if err != nil {
		return err
	}
	for _, box := range sortedBoxes(r.doubt) {
		var name string
		if r.t.get("SELECT name FROM mailbox WHERE acct = ?1 AND id = ?2", args(int64(box.Account), box.N), &name) != nil {
			continue
		}
		if _, err := r.t.exec("UPDATE acct SET last_uidvalidity = max(last_uidvalidity + 1, ?2) WHERE id = ?1", int64(box.Account), r.t.now/1e6); err != nil {
			return err
		}
		if _, err := r.t.exec(`UPDATE mailbox SET uidvalidity = (SELECT last_uidvalidity FROM acct WHERE id = ?1) WHERE acct = ?1 AND id = ?2`, int64(box.Account), box.N); err != nil {
			return err
		}
		r.say("%s of account %d has a new UIDVALIDITY: mail programs will fetch it anew", name, box.Account)
	}
	return r.countBoxes()
}

func (r *repair) countBoxes() error {
	sums := map[store.MailboxID]counts{}
	err := r.t.each("SELECT acct, mbox, data FROM message_page", nil, func(scan func(...any) error) error {
		var box store.MailboxID
		var data []byte
		if err := scan(&box.Account, &box.N, &data); err != nil {
			return err
		}
		var rows store.Rows
		if err := decodePage(data, box, &rows); err != nil {
			return err
		}
		sum := sums[box]
		sum.add(tally(&rows), 1)
		sums[box] = sum
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.all("UPDATE mailbox SET total = 0, unseen = 0, deleted = 0, bytes = 0, deleted_bytes = 0"); err != nil {
		return err
	}
	for _, box := range sortedBoxes(sums) {
		c := sums[box]
		_, err := r.t.exec("UPDATE mailbox SET total = ?3, unseen = ?4, deleted = ?5, bytes = ?6, deleted_bytes = ?7 WHERE acct = ?1 AND id = ?2",
			int64(box.Account), box.N, c.total, c.unseen, c.deleted, c.bytes, c.deletedBytes)
		if err != nil {
			return err
		}
	}
	return r.all(`UPDATE acct SET count = ifnull((SELECT sum(total) FROM mailbox b WHERE b.acct = acct.id), 0),
		bytes = ifnull((SELECT sum(bytes) FROM mailbox b WHERE b.acct = acct.id), 0)`)
}
