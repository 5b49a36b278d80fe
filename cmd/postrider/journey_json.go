package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"postrider/store"
)

// eventData reads an event's data; what cannot be read is left empty.
func eventData[T any](ev *store.Event) T {
	var d T
	_ = json.Unmarshal(ev.Data, &d)
	return d
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// flat is a value of JSON on one line, without quotes and braces where it can
// be read without.
func flat(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case []any:
		var parts []string
		for _, e := range x {
			parts = append(parts, flat(e))
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		var parts []string
		for _, k := range sortedKeys(x) {
			parts = append(parts, k+"="+flat(x[k]))
		}
		return "(" + strings.Join(parts, " ") + ")"
	}
	return fmt.Sprint(v)
}
