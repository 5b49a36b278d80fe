package main

// imapRows are the rows of reading, searching and changing mailboxes by IMAP.
func imapRows() []Row {
	return nil
}
