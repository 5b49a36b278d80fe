package imapd

import "strings"

// bodyItems reads from the text of a FETCH what the engine does not tell: the
// names of its body sections where they are of the old kind (RFC822.HEADER is
// answered by that name, RFC 3501 §6.4.5), in order, empty for BODY[...]; and
// which of BODY and BODYSTRUCTURE were asked for. It can go with the engine.
func bodyItems(text string) (names []string, body, structure bool) {
	for _, w := range fetchWords(text) {
		switch {
		case w == "RFC822" || w == "RFC822.HEADER" || w == "RFC822.TEXT":
			names = append(names, w)
		case w == "RFC822.PEEK":
			names = append(names, "RFC822")
		case strings.HasPrefix(w, "BODY[") || strings.HasPrefix(w, "BODY.PEEK["):
			names = append(names, "")
		case w == "BODY" || w == "FULL":
			body = true
		case w == "BODYSTRUCTURE":
			structure = true
		}
	}
	return names, body, structure
}

// fetchWords returns the items of a FETCH in upper case. What stands in the
// brackets of a section, lists and quoted strings too, stays one word.
func fetchWords(text string) []string {
	var words []string
	var word strings.Builder
	brackets, quoted := 0, false
	end := func() {
		if word.Len() > 0 {
			words = append(words, strings.ToUpper(word.String()))
			word.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
			continue
		case c == '"':
			quoted = true
			continue
		case c == '[':
			brackets++
		case c == ']' && brackets > 0:
			brackets--
		case brackets == 0 && (c == ' ' || c == '(' || c == ')' || c == '\n'):
			end()
			continue
		}
		word.WriteByte(c)
	}
	end()
	// Tag, command and set come before the items.
	skip := 3
	if len(words) > 1 && words[1] == "UID" {
		skip = 4
	}
	return words[min(skip, len(words)):]
}
