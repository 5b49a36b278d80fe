package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
)

func TestUIDSet(t *testing.T) {
	tests := []struct {
		uids []UID
		want UIDSet
	}{
		{nil, nil},
		{[]UID{5}, UIDSet{{5, 5}}},
		{[]UID{1, 2, 3}, UIDSet{{1, 3}}},
		{[]UID{1, 3, 4, 9}, UIDSet{{1, 1}, {3, 4}, {9, 9}}},
		{[]UID{MaxUID - 1, MaxUID}, UIDSet{{MaxUID - 1, MaxUID}}},
	}
	for _, tt := range tests {
		s := UIDSetOf(tt.uids...)
		if !reflect.DeepEqual(s, tt.want) {
			t.Errorf("UIDSetOf(%v) = %v, want %v", tt.uids, s, tt.want)
		}
		if got := slices.Collect(s.All()); !slices.Equal(got, tt.uids) {
			t.Errorf("All of %v gives %v", s, got)
		}
		for u := range UID(12) {
			if s.Contains(u) != slices.Contains(tt.uids, u) {
				t.Errorf("%v contains %d: %v", s, u, s.Contains(u))
			}
		}
		for range s.All() {
			break
		}
	}
	if !AllUIDs().Contains(1) || !AllUIDs().Contains(MaxUID) || AllUIDs().Contains(0) {
		t.Error("AllUIDs")
	}
}

func TestUIDSetOfRanges(t *testing.T) {
	for _, c := range []struct {
		ranges []UIDRange
		want   UIDSet
	}{
		{nil, nil},
		{[]UIDRange{{7, 9}, {1, 2}}, UIDSet{{1, 2}, {7, 9}}},
		{[]UIDRange{{4, 4}, {1, 3}}, UIDSet{{1, 4}}},
		{[]UIDRange{{1, 9}, {2, 3}, {9, 12}}, UIDSet{{1, 12}}},
		{[]UIDRange{{MaxUID, MaxUID}, {5, MaxUID}, {1, 1}}, UIDSet{{1, 1}, {5, MaxUID}}},
	} {
		if got := UIDSetOfRanges(slices.Clone(c.ranges)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v is %v, want %v", c.ranges, got, c.want)
		}
	}
}

func TestKindOf(t *testing.T) {
	cause := errors.New("cause")
	for k := Internal; k <= Full; k++ {
		err := fmt.Errorf("outer: %w", Errorf(k, "append", "mailbox %d: %w", 7, cause))
		if KindOf(err) != k || !errors.Is(err, cause) || k.String() == "" {
			t.Errorf("kind %d came back as %v from %v", k, KindOf(err), err)
		}
	}
	if KindOf(cause) != Internal {
		t.Error("an error without a kind is internal")
	}
	if got := (&Error{Kind: Quota, Op: "append"}).Error(); got != "append: over quota" {
		t.Errorf("error reads %q", got)
	}
	if KindOf(ErrUnknown) != Busy {
		t.Error("an unknown outcome is to be tried again")
	}
}
