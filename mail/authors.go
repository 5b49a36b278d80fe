package mail

import "strings"

// Authors returns the addresses that an address list names, the zero Address
// for what is none. Of a list in bad form each reader makes something else:
// in "a@b.test <c@d.test>" some see the one, some the other. So where there
// are more "@" than addresses, whatever has one counts as well.
func Authors(list string) []Address {
	var all []Address
	for _, a := range ParseAddressList(list) {
		if a.Group != NoGroup {
			continue
		}
		addr, ok := a.Address()
		if !ok {
			addr = Address{}
		}
		all = append(all, addr)
	}
	words, ats := atWords(list)
	if ats == len(all) {
		return all
	}
	for _, w := range words {
		addr, _ := ParseAddress(w)
		all = append(all, addr)
	}
	return all
}

// atWords returns the words of an address list that have an "@" outside quotes
// and comments, and how many "@" those are together. A quote or comment
// without an end counts as one that is in no address.
func atWords(list string) (words []string, ats int) {
	begin, here, depth, quoted := 0, 0, 0, false
	end := func(i int) {
		if here > 0 {
			words = append(words, list[begin:i])
		}
		begin, ats, here = i+1, ats+here, 0
	}
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && (quoted || depth > 0):
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			end(i)
			depth++
		case c == ')' && depth > 0:
			depth--
			begin = i + 1
		case depth > 0:
		case c == '@':
			here++
		case strings.IndexByte(" \t,;:<>", c) >= 0:
			end(i)
		}
	}
	if quoted || depth > 0 {
		here++
	}
	end(len(list))
	return words, ats
}
