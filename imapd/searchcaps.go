package imapd

// searchCaps are the capabilities of searching that are announced after login.
var searchCaps = []string{
	"ESEARCH", "SEARCHRES", "WITHIN", "SEARCH=FUZZY", "MULTISEARCH", "CONTEXT=SEARCH", "PARTIAL",
	"SORT", "SORT=DISPLAY", "ESORT", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "THREAD=REFS", "I18NLEVEL=1",
	"INPROGRESS", "UIDBATCHES",
}
