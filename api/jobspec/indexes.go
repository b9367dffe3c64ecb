package jobspec

import (
	"fmt"
	"strconv"
	"strings"
)

// Interval is a run of indexes, both ends included.
type Interval struct{ First, Last int32 }

// Intervals are indexes in growing order.
type Intervals []Interval

// Total is the number of indexes.
func (all Intervals) Total() int32 {
	total := int32(0)
	for _, i := range all {
		total += i.Last - i.First + 1
	}
	return total
}

// ParseIndexes reads a list like "1,3-5,7", of indexes below completions, each greater than those before it. With an
// error it returns nothing.
func ParseIndexes(text string, completions int32) (Intervals, error) {
	if text == "" {
		return nil, nil
	}
	var all Intervals
	for part := range strings.SplitSeq(text, ",") {
		i, err := parseInterval(part, completions)
		if err != nil {
			return nil, err
		}
		if n := len(all); n > 0 && all[n-1].Last >= i.First {
			return nil, fmt.Errorf("non-increasing order, previous: %d, current: %d", all[n-1].Last, i.First)
		}
		all = append(all, i)
	}
	return all, nil
}

func parseInterval(text string, completions int32) (Interval, error) {
	ends := strings.Split(text, "-")
	if len(ends) > 2 {
		return Interval{}, fmt.Errorf("the fragment %q violates the requirement that an index interval can have at most two parts separated by '-'", text)
	}
	first, err := parseIndex(ends[0], completions)
	if err != nil || len(ends) == 1 {
		return Interval{first, first}, err
	}
	last, err := parseIndex(ends[1], completions)
	if err == nil && first >= last {
		err = fmt.Errorf("non-increasing order, previous: %d, current: %d", first, last)
	}
	return Interval{first, last}, err
}

func parseIndex(text string, completions int32) (int32, error) {
	index, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("cannot convert string to integer for index: %q", text)
	}
	if index >= int(completions) {
		return 0, fmt.Errorf("too large index: %q", text)
	}
	return int32(index), nil
}

// Overlap is the first index that is in both lists. What cannot be read in either is passed over.
func Overlap(one, other string, completions int32) (index int32, found bool) {
	a, b := readable(one, completions), readable(other, completions)
	for len(a) > 0 && len(b) > 0 {
		if first := max(a[0].First, b[0].First); first <= min(a[0].Last, b[0].Last) {
			return first, true
		}
		if a[0].First <= b[0].First {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return 0, false
}

func readable(text string, completions int32) (all Intervals) {
	for part := range strings.SplitSeq(text, ",") {
		if i, err := parseInterval(part, completions); err == nil {
			all = append(all, i)
		}
	}
	return all
}
