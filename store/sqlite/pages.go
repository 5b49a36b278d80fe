package sqlite

import (
	"database/sql"
	"errors"
	"sort"

	"postrider/store"
)

// pageRows is how many messages a page is made for. A page of so many has
// about 900 bytes and lies inside a leaf of the table; larger ones would spill
// into a page of their own, to be allocated and freed with every change.
const pageRows = 40

// stretchPages bounds how many pages are in memory at once while a mailbox is
// changed.
const stretchPages = 512

// stretch is neighbouring pages of a mailbox, read for changing them.
type stretch struct {
	box   store.MailboxID
	from  store.UID // what is below has been passed
	rows  store.Rows
	pages []pageAt
}

// pageAt is where a page's messages begin in a stretch; they end where the
// next one's begin. No UID in the page is below lo.
type pageAt struct {
	lo    int64
	first int
}

// end returns where the messages of page p end.
func (s *stretch) end(p int) int {
	if p+1 < len(s.pages) {
		return s.pages[p+1].first
	}
	return s.rows.Len()
}

// add reads a page behind those that are there.
func (s *stretch) add(lo int64, data []byte) error {
	first := s.rows.Len()
	if err := decodePage(data, s.box, &s.rows); err != nil {
		return pageError(s.box, lo, err)
	}
	s.pages = append(s.pages, pageAt{lo, first})
	return nil
}

// read adds what a query for lo and data answers.
func (s *stretch) read(t *tx, query string, args ...any) error {
	return t.each(query, args, func(scan func(...any) error) error {
		var lo int64
		var data sql.RawBytes
		if err := scan(&lo, &data); err != nil {
			return err
		}
		return s.add(lo, data)
	})
}

// readStretch reads the pages that may hold messages of r, the first
// stretchPages of them. There is room for so many messages from the beginning.
func readStretch(t *tx, box store.MailboxID, r store.UIDRange, room int) (*stretch, error) {
	s := &stretch{box: box}
	s.rows.Grow(room)
	err := s.read(t, `SELECT lo, data FROM message_page WHERE acct = ?1 AND mbox = ?2
		AND lo >= ifnull((SELECT max(lo) FROM message_page WHERE acct = ?1 AND mbox = ?2 AND lo <= ?3), 0) AND lo <= ?4
		ORDER BY lo LIMIT ?5`, int64(box.Account), box.N, int64(r.Lo), int64(r.Hi), stretchPages)
	return s, err
}

// walkPages calls fn for the pages that hold messages of uids, in order, a
// bounded stretch at a time. fn may rewrite what it was given.
func walkPages(t *tx, box store.MailboxID, uids store.UIDSet, fn func(*stretch) error) error {
	return walkPagesOf(t, box, uids, 0, fn)
}

// walkPagesOf is walkPages in a mailbox that has total messages; 0 is not known.
func walkPagesOf(t *tx, box store.MailboxID, uids store.UIDSet, total int64, fn func(*stretch) error) error {
	next := store.UID(1) // what is below has been passed
	for i := 0; i < len(uids); {
		r := uids[i]
		r.Lo = max(r.Lo, next)
		if r.Lo > r.Hi {
			i++
			continue
		}
		room := min(max(total, 0), int64(r.Hi-r.Lo)+2*pageRows, stretchPages*pageRows)
		s, err := readStretch(t, box, r, int(room))
		if err != nil {
			return err
		}
		if len(s.pages) < stretchPages {
			i++
		}
		if len(s.pages) == 0 {
			continue
		}
		s.from, next = next, max(r.Lo, s.rows.UID[s.rows.Len()-1]+1)
		if err := fn(s); err != nil {
			return err
		}
	}
	return nil
}

// each calls fn with the index of every message of uids.
func (s *stretch) each(uids store.UIDSet, fn func(i int)) {
	from := max(s.from, s.rows.UID[0])
	at := sort.Search(len(uids), func(i int) bool { return uids[i].Hi >= from })
	for _, r := range uids[at:] {
		i, _ := s.rows.Index(max(r.Lo, from))
		if i == s.rows.Len() {
			return
		}
		for ; i < s.rows.Len() && s.rows.UID[i] <= r.Hi; i++ {
			fn(i)
		}
	}
}

// collect reads what pages have of the messages of uids with wanted flags. It
// may stop when it has most of them.
func collect(t *tx, box store.MailboxID, uids store.UIDSet, most int64, wanted func(store.System) bool) (*store.Rows, error) {
	got := &store.Rows{}
	err := walkPages(t, box, uids, func(s *stretch) error {
		s.each(uids, func(i int) {
			if wanted(s.rows.System[i]) {
				got.AppendFrom(&s.rows, i)
			}
		})
		if int64(got.Len()) >= most {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return got, err
}

// uidsOf returns the UIDs of rows.
func uidsOf(rows *store.Rows) store.UIDSet { return store.UIDSetOf(rows.UID...) }

// tally returns what messages count together.
func tally(rows *store.Rows) counts {
	var sum counts
	for i := range rows.UID {
		sum.add(countOf(rows.System[i], rows.Size[i]), 1)
	}
	return sum
}

// pageWriter writes pages of one mailbox.
type pageWriter struct {
	t   *tx
	box store.MailboxID
	buf []byte
}

// encode returns the page of the messages [i, j) and its modseq. It is valid
// until the next call.
func (w *pageWriter) encode(rows *store.Rows, i, j int) (data []byte, modseq int64) {
	w.buf = appendPage(w.buf[:0], w.box, rows, i, j)
	_, highest := bounds(rows.ModSeq[i:j])
	return w.buf, int64(highest)
}

// update writes page lo anew.
func (w *pageWriter) update(lo int64, rows *store.Rows, i, j int) error {
	data, modseq := w.encode(rows, i, j)
	err := w.t.run("UPDATE message_page SET modseq = ?4, data = ?5 WHERE acct = ?1 AND mbox = ?2 AND lo = ?3",
		int64(w.box.Account), w.box.N, lo, modseq, data)
	return err
}

// insert writes the messages [i, j) in a new page.
func (w *pageWriter) insert(rows *store.Rows, i, j int) error {
	data, modseq := w.encode(rows, i, j)
	err := w.t.run("INSERT INTO message_page (acct, mbox, lo, modseq, data) VALUES (?1, ?2, ?3, ?4, ?5)",
		int64(w.box.Account), w.box.N, int64(rows.UID[i]), modseq, data)
	return err
}

// insertAll writes the messages from i on in new pages, all about equally full.
func (w *pageWriter) insertAll(rows *store.Rows, i int) error {
	for left := (rows.Len() - i + pageRows - 1) / pageRows; left > 0; left-- {
		j := i + (rows.Len()-i+left-1)/left
		if err := w.insert(rows, i, j); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// readTail reads a mailbox's last page. One that is damaged counts as none, so
// that mail comes in nevertheless, in a new page behind it.
func readTail(t *tx, box store.MailboxID) (*stretch, error) {
	tail := &stretch{box: box}
	err := tail.read(t, "SELECT lo, data FROM message_page WHERE acct = ?1 AND mbox = ?2 ORDER BY lo DESC LIMIT 1", int64(box.Account), box.N)
	if errors.Is(err, errPage) {
		return &stretch{box: box}, nil
	}
	return tail, err
}

// appendRows puts messages behind all others of a mailbox: into its last page
// as far as that has room, then into new ones.
func appendRows(t *tx, box store.MailboxID, rows *store.Rows) error {
	w := &pageWriter{t: t, box: box}
	tail, err := readTail(t, box)
	if err != nil {
		return err
	}
	i := 0
	if n := tail.rows.Len(); n > 0 && n < pageRows {
		for ; i < rows.Len() && tail.rows.Len() < pageRows; i++ {
			tail.rows.AppendFrom(rows, i)
		}
		if err := w.update(tail.pages[0].lo, &tail.rows, 0, tail.rows.Len()); err != nil {
			return err
		}
	}
	return w.insertAll(rows, i)
}

// removeRows takes messages that are there out of their pages. Pages that
// become less than half full are joined with the one before.
func removeRows(t *tx, box store.MailboxID, uids store.UIDSet) error {
	w := &pageWriter{t: t, box: box}
	return walkPages(t, box, uids, func(s *stretch) error {
		gone := make([]bool, s.rows.Len())
		s.each(uids, func(i int) { gone[i] = true })
		touched := func(p int) bool {
			for i := s.pages[p].first; i < s.end(p); i++ {
				if gone[i] {
					return true
				}
			}
			return false
		}
		for p := 0; p < len(s.pages); p++ {
			if !touched(p) {
				continue
			}
			q := p + 1
			for q < len(s.pages) && touched(q) {
				q++
			}
			left := &store.Rows{}
			for i := s.pages[p].first; i < s.end(q-1); i++ {
				if !gone[i] {
					left.AppendFrom(&s.rows, i)
				}
			}
			if err := w.replace(s.pages[p].lo, s.pages[q-1].lo, left); err != nil {
				return err
			}
			p = q
		}
		return nil
	})
}

// replace writes rows in the place of the pages from lo to hi.
func (w *pageWriter) replace(lo, hi int64, rows *store.Rows) error {
	acct, mbox := int64(w.box.Account), w.box.N
	if n := rows.Len(); n > 0 && n < pageRows/2 {
		before := &stretch{box: w.box}
		err := before.read(w.t, "SELECT lo, data FROM message_page WHERE acct = ?1 AND mbox = ?2 AND lo < ?3 ORDER BY lo DESC LIMIT 1", acct, mbox, lo)
		if err != nil && !errors.Is(err, errPage) {
			return err
		}
		if err == nil && len(before.pages) > 0 {
			lo = before.pages[0].lo
			for i := range rows.UID {
				before.rows.AppendFrom(rows, i)
			}
			rows = &before.rows
		}
	}
	err := w.t.run("DELETE FROM message_page WHERE acct = ?1 AND mbox = ?2 AND lo BETWEEN ?3 AND ?4", acct, mbox, lo, hi)
	if err != nil {
		return err
	}
	return w.insertAll(rows, 0)
}

// readPages adds all messages of a mailbox to rows.
func readPages(t *tx, box store.MailboxID, rows *store.Rows) error {
	return t.each("SELECT lo, data FROM message_page WHERE acct = ?1 AND mbox = ?2 ORDER BY lo", args(int64(box.Account), box.N),
		func(scan func(...any) error) error {
			var lo int64
			var data sql.RawBytes
			if err := scan(&lo, &data); err != nil {
				return err
			}
			if err := decodePage(data, box, rows); err != nil {
				return pageError(box, lo, err)
			}
			return nil
		})
}

// readChanged adds the messages of a mailbox that changed after since to rows.
func readChanged(t *tx, box store.MailboxID, since store.ModSeq, rows *store.Rows) error {
	var page store.Rows
	return t.each(`SELECT lo, data FROM message_page INDEXED BY message_page_modseq
		WHERE acct = ?1 AND mbox = ?2 AND modseq > ?3 ORDER BY lo`, args(int64(box.Account), box.N, int64(since)),
		func(scan func(...any) error) error {
			var lo int64
			var data sql.RawBytes
			if err := scan(&lo, &data); err != nil {
				return err
			}
			page.Truncate(0)
			if err := decodePage(data, box, &page); err != nil {
				return pageError(box, lo, err)
			}
			for i, m := range page.ModSeq {
				if m > since {
					rows.AppendFrom(&page, i)
				}
			}
			return nil
		})
}
