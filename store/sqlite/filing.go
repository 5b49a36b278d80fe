package sqlite

import (
	"database/sql"
	"errors"

	"postrider/store"
)

// filing is what the writer knows of the accounts and mailboxes that mail is
// filed into, and what of it is not in the database yet: each of them is
// written once for a whole group of operations, by flush. What has been written
// stays known from one transaction to the next, until something else may have
// changed it.
type filing struct {
	accts map[int64]*filingAcct
	boxes map[store.MailboxID]*filingBox
	names map[boxName]int64 // numbers of mailboxes

	// In the order in which the open transaction changed them.
	changedAccts []*filingAcct
	changedBoxes []*filingBox

	pending // rows besides

	member  int64 // the operation under way
	undo    []func()
	version int64 // of the database, as PRAGMA data_version counts
}

// filingBoxes bounds what is known from one transaction to the next: about
// 3 KiB each.
const filingBoxes = 2048

// boxName is a mailbox's name in its account.
type boxName struct {
	acct int64
	name string
}

// filingAcct is an account's row.
type filingAcct struct {
	id                   int64
	modseq, bytes, count int64
	quota, quotaCount    int64
	changed              bool
	member               int64 // that changed it last
}

// filingBox is a mailbox with what has been filed into it.
type filingBox struct {
	id       store.MailboxID
	validity int64
	uidnext  int64
	modseq   int64
	add      counts
	changed  bool
	member   int64 // that changed it last

	known bool       // tail is known
	tail  store.Rows // the messages of the last page, then the new ones
	lo    int64      // of the last page; 0 if the next message begins a new one
	rows  []filedRow // not in the database
}

// filedRow is a row of message.
type filedRow struct {
	newMessage
	body    *newBody
	uid     int64
	created int64
	saved   int64
	thread  int64
}

// start begins a transaction on t. What another handle has committed makes
// all that is known worthless.
func (f *filing) start(t *tx) error {
	var version int64
	if err := t.get("PRAGMA data_version", nil, &version); err != nil {
		return err
	}
	if version != f.version || len(f.boxes) > filingBoxes || f.accts == nil {
		f.forget()
	}
	f.version = version
	return nil
}

// forget drops all that is known, with what has not been written.
func (f *filing) forget() {
	*f = filing{version: f.version, accts: map[int64]*filingAcct{}, boxes: map[store.MailboxID]*filingBox{}, names: map[boxName]int64{}}
}

// mark begins an operation that back can undo.
func (f *filing) mark() {
	f.member++
	f.undo = f.undo[:0]
}

// back undoes what was filed since mark.
func (f *filing) back() {
	for i := len(f.undo) - 1; i >= 0; i-- {
		f.undo[i]()
	}
	f.undo = f.undo[:0]
}

// touch prepares for a change of a.
func (f *filing) touchAcct(a *filingAcct) {
	if a.member == f.member {
		return
	}
	was, changed := *a, len(f.changedAccts)
	f.undo = append(f.undo, func() {
		*a = was
		f.changedAccts = f.changedAccts[:changed]
	})
	a.member = f.member
	if !a.changed {
		a.changed = true
		f.changedAccts = append(f.changedAccts, a)
	}
}

func (f *filing) touchBox(b *filingBox) {
	if b.member == f.member {
		return
	}
	uidnext, modseq, add, was, member := b.uidnext, b.modseq, b.add, b.changed, b.member
	tail, rows, changed := b.tail.Len(), len(b.rows), len(f.changedBoxes)
	f.undo = append(f.undo, func() {
		b.uidnext, b.modseq, b.add, b.changed, b.member = uidnext, modseq, add, was, member
		b.tail.Truncate(tail)
		b.rows = b.rows[:rows]
		f.changedBoxes = f.changedBoxes[:changed]
	})
	b.member = f.member
	if !b.changed {
		b.changed = true
		f.changedBoxes = append(f.changedBoxes, b)
	}
}

// account returns an account's state: sql.ErrNoRows.
func (f *filing) account(t *tx, id int64) (*filingAcct, error) {
	if a := f.accts[id]; a != nil {
		return a, nil
	}
	a := &filingAcct{id: id}
	err := t.get("SELECT modseq, bytes, count, quota, quota_count FROM acct WHERE id = ?1", args(id),
		&a.modseq, &a.bytes, &a.count, &a.quota, &a.quotaCount)
	if err != nil {
		return nil, err
	}
	f.accts[id] = a
	return a, nil
}

// box finds the mailbox that takes m.
func (f *filing) box(t *tx, m *newMessage) (*filingBox, error) {
	if m.name == "" {
		return f.boxByNumber(t, m.acct, m.mbox)
	}
	b, err := f.boxByName(t, m.acct, m.name)
	if errors.Is(err, sql.ErrNoRows) && m.name != store.Inbox {
		b, err = f.boxByName(t, m.acct, store.Inbox)
	}
	return b, err
}

func (f *filing) boxByName(t *tx, acct int64, name string) (*filingBox, error) {
	n, known := f.names[boxName{acct, name}]
	if !known {
		if err := t.get("SELECT id FROM mailbox WHERE acct = ?1 AND name = ?2", args(acct, name), &n); err != nil {
			return nil, err
		}
		f.names[boxName{acct, name}] = n
	}
	return f.boxByNumber(t, acct, n)
}

func (f *filing) boxByNumber(t *tx, acct, n int64) (*filingBox, error) {
	id := mailboxID(acct, n)
	if b := f.boxes[id]; b != nil {
		return b, nil
	}
	b := &filingBox{id: id}
	err := t.get("SELECT uidnext, uidvalidity, modseq FROM mailbox WHERE acct = ?1 AND id = ?2", args(acct, n), &b.uidnext, &b.validity, &b.modseq)
	if err != nil {
		return nil, err
	}
	f.boxes[id] = b
	return b, nil
}

// fileMessage puts a message into a mailbox: counters, UID, thread, row.
func fileMessage(t *tx, m *newMessage, body *newBody) (store.Filed, error) {
	f := t.filing
	a, err := f.account(t, m.acct)
	if err != nil {
		return store.Filed{}, err
	}
	if !a.takes(m.size) {
		return store.Filed{}, store.Errorf(store.Quota, "quota", "account %d has %d bytes", a.id, a.quota)
	}
	b, err := f.box(t, m)
	if err != nil {
		return store.Filed{}, err
	}
	if err := checkUID(b.uidnext+1, nil); err != nil {
		return store.Filed{}, err
	}
	thread, err := assignThread(t, m.acct, body.refs, m.email)
	if err != nil {
		return store.Filed{}, err
	}
	f.touchAcct(a)
	f.touchBox(b)
	a.modseq, a.bytes, a.count = a.modseq+1, a.bytes+m.size, a.count+1
	m.mbox = b.id.N
	row := filedRow{newMessage: *m, body: body, uid: b.uidnext, created: a.modseq, saved: t.now, thread: thread}
	b.take(row)
	filed := store.Filed{Mailbox: b.id, UIDValidity: uint32(b.validity), UID: store.UID(row.uid)}
	t.publish(store.Change{Kind: store.MailboxChanged, Account: b.id.Account, Mailbox: b.id, ModSeq: store.ModSeq(b.modseq)})
	return filed, nil
}

// takes tells whether the account's quota has room for a message.
func (a *filingAcct) takes(size int64) bool {
	return (a.quota == 0 || size <= 0 || a.bytes+size <= a.quota) && (a.quotaCount == 0 || a.count+1 <= a.quotaCount)
}

// take counts a message in.
func (b *filingBox) take(r filedRow) {
	b.uidnext, b.modseq = r.uid+1, r.created
	b.add.add(countOf(r.flags.System, r.size), 1)
	b.rows = append(b.rows, r)
	b.tail.Append(store.Row{UID: store.UID(r.uid), ModSeq: store.ModSeq(r.created), Flags: r.flags,
		Received: fromMicros(r.received), Saved: fromMicros(r.saved), Size: r.size, EmailID: r.email, ThreadID: r.thread})
}

// flush writes what has been filed and is not in the database.
func (f *filing) flush(t *tx) error {
	if err := f.write(t); err != nil {
		return err
	}
	for _, b := range f.changedBoxes {
		if err := b.flush(t); err != nil {
			return err
		}
		b.changed = false
	}
	for _, a := range f.changedAccts {
		if err := t.run("UPDATE acct SET modseq = ?2, bytes = ?3, count = ?4 WHERE id = ?1", a.id, a.modseq, a.bytes, a.count); err != nil {
			return err
		}
		a.changed = false
	}
	f.changedBoxes, f.changedAccts, f.undo = f.changedBoxes[:0], f.changedAccts[:0], f.undo[:0]
	return nil
}

func (b *filingBox) flush(t *tx) error {
	if err := insertMessages(t, b.rows); err != nil {
		return err
	}
	clear(b.rows) // bodies are large
	b.rows = b.rows[:0]
	if err := b.flushTail(t); err != nil {
		return err
	}
	err := t.run(`UPDATE mailbox SET uidnext = ?3, modseq = ?4, total = total + ?5, unseen = unseen + ?6, deleted = deleted + ?7,
		bytes = bytes + ?8, deleted_bytes = deleted_bytes + ?9 WHERE acct = ?1 AND id = ?2`,
		int64(b.id.Account), b.id.N, b.uidnext, b.modseq, b.add.total, b.add.unseen, b.add.deleted, b.add.bytes, b.add.deletedBytes)
	b.add = counts{}
	return err
}

// flushTail writes the last page and those that come after it.
func (b *filingBox) flushTail(t *tx) error {
	if !b.known {
		if err := b.readTail(t); err != nil {
			return err
		}
	}
	w := &pageWriter{t: t, box: b.id}
	i := 0
	if b.lo > 0 {
		i = min(pageRows, b.tail.Len())
		if err := w.update(b.lo, &b.tail, 0, i); err != nil {
			return err
		}
	}
	for n := b.tail.Len(); i < n; {
		j := min(i+pageRows, n)
		b.lo = int64(b.tail.UID[i])
		if err := w.insert(&b.tail, i, j); err != nil {
			return err
		}
		if j == n {
			b.tail.Drop(i)
			break
		}
		i = j
	}
	if b.tail.Len() >= pageRows {
		b.tail.Drop(b.tail.Len())
		b.lo = 0
	}
	return nil
}

// readTail puts the messages of the last page before the new ones, if it has
// room for another.
func (b *filingBox) readTail(t *tx) error {
	tail, err := readTail(t, b.id)
	if err != nil {
		return err
	}
	b.known = true
	if n := tail.rows.Len(); n == 0 || n >= pageRows {
		return nil
	}
	for i := range b.tail.UID {
		tail.rows.AppendFrom(&b.tail, i)
	}
	b.tail, b.lo = tail.rows, tail.pages[0].lo
	return nil
}

// insertMessages writes rows of message.
func insertMessages(t *tx, rows []filedRow) error {
	for i := range rows {
		m := &rows[i]
		err := t.run(`INSERT INTO message (acct, mbox, uid, created_modseq, received, saved, size, body, email_id, thread_id,
				sum, origin, prefix, cut, shape)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)`,
			m.acct, m.mbox, m.uid, m.created, m.received, m.saved, m.size, m.body.ID, m.email, m.thread,
			m.sum^placeOf(m.acct, m.mbox, m.uid), m.origin, m.prefix, m.body.cut, int64(shapeBehind(m.prefix, m.body.shape)))
		if err != nil {
			return err
		}
	}
	return nil
}
