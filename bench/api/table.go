package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// table prints a line for each figure as soon as both servers have it.
type table struct {
	ctx     context.Context
	servers []*server
	sizes   sizes
	only    []string
}

// unit is how a figure is shown.
type unit func(float64) string

func perSecond(v float64) string    { return fmt.Sprintf("%.0f/s", v) }
func megabytes(v float64) string    { return fmt.Sprintf("%.0f MB", v/1e6) }
func milliseconds(v float64) string { return fmt.Sprintf("%.1f ms", v*1e3) }
func seconds(v float64) string      { return fmt.Sprintf("%.2f s", v) }

const line = "%-46s %12s %12s %7s  %-9s %10s %10s\n"

// head names the columns. Processor time is what the servers took of it for the whole measurement: on a machine that
// does other things as well it tells more than the clock.
func (t *table) head() {
	fmt.Printf(line, "what", "dhow", "upstream", "ratio", "goal", "dhow CPU", "up. CPU")
}

// wanted says whether a measurement was asked for.
func (t *table) wanted(name string) bool {
	return slices.ContainsFunc(t.only, func(word string) bool { return strings.HasPrefix(name, word) })
}

// figure measures one thing on each server.
func (t *table) figure(name, goal string, show unit, measure func(context.Context, *server) (float64, error)) error {
	return t.figures([]string{name}, []string{goal}, show, func(ctx context.Context, s *server) ([]float64, error) {
		v, err := measure(ctx, s)
		return []float64{v}, err
	})
}

// figures measures several things at once on each server.
func (t *table) figures(names, goals []string, show unit, measure func(context.Context, *server) ([]float64, error)) error {
	if !t.wanted(names[0]) {
		return nil
	}
	var values [][]float64
	var processor []string
	for _, s := range t.servers {
		before := s.processorTime()
		v, err := measure(t.ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", s.name, names[0], err)
		}
		values = append(values, v)
		processor = append(processor, fmt.Sprintf("%.2f s", (s.processorTime()-before).Seconds()))
	}
	for i, name := range names {
		theirs, ratio, theirProcessor := "-", "-", "-"
		if len(values) > 1 {
			theirs, ratio, theirProcessor = show(values[1][i]), fmt.Sprintf("%.2f", values[0][i]/values[1][i]), processor[1]
		}
		fmt.Printf(line, name, show(values[0][i]), theirs, ratio, goals[i], processor[0], theirProcessor)
	}
	return nil
}

// percentiles sorts what it is given.
func percentiles(all []time.Duration) (p50, p99 float64) {
	slices.Sort(all)
	at := func(p int) float64 { return all[min(len(all)-1, len(all)*p/100)].Seconds() }
	return at(50), at(99)
}

// repeat is the mean time of n runs, after one to warm up.
func repeat(n int, run func() error) (float64, error) {
	if err := run(); err != nil {
		return 0, err
	}
	begin := time.Now()
	for range n {
		if err := run(); err != nil {
			return 0, err
		}
	}
	return time.Since(begin).Seconds() / float64(n), nil
}
