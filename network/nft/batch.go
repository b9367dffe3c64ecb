package nft

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	mnl "github.com/mdlayher/netlink"
)

const (
	// bufferBytes is the limit of one batch and of its acknowledgements; the kernel takes it only as needed.
	bufferBytes = 64 << 20
	// elementsPerMessage keeps a message's element list below the 64 KiB of a netlink attribute.
	elementsPerMessage = 400
)

// Batch collects changes; Commit applies them all at once or none. Not for concurrent use.
type Batch struct {
	conn   *nftables.Conn
	lastID uint32
	size   int
	err    error
}

// Begin starts a batch for the network namespace of the thread that calls Commit.
func Begin() (*Batch, error) {
	conn, err := open()
	if err != nil {
		return nil, err
	}
	return &Batch{conn: conn}, nil
}

// open never asks for a lasting socket: after an error a lasting one would still hold answers to old requests.
func open() (*nftables.Conn, error) {
	conn, err := nftables.New(nftables.WithSockOptions(func(c *mnl.Conn) error {
		if err := c.SetReadBuffer(bufferBytes); err != nil {
			return err
		}
		return c.SetWriteBuffer(bufferBytes)
	}))
	if err != nil {
		return nil, fmt.Errorf("open nftables socket: %w", err)
	}
	return conn, nil
}

// Empty tells whether there is nothing to commit.
func (b *Batch) Empty() bool { return b.size == 0 }

// Commit applies the batch.
func (b *Batch) Commit() error {
	if b.err != nil {
		return b.err
	}
	if err := b.conn.Flush(); err != nil {
		return fmt.Errorf("change nftables: %w", err)
	}
	return nil
}

// Table makes sure that a table exists.
func (b *Batch) Table(f Family, name string) *nftables.Table {
	b.size++
	return b.conn.AddTable(&nftables.Table{Name: name, Family: f.table})
}

// NewTable replaces a table and all that is in it by an empty one.
func (b *Batch) NewTable(f Family, name string) *nftables.Table {
	b.DropTable(f, name)
	return b.Table(f, name)
}

// DropTable removes a table and all that is in it; a table that does not exist is no error.
func (b *Batch) DropTable(f Family, name string) {
	b.conn.DelTable(b.Table(f, name))
}

// Chain makes sure that an ordinary chain exists and has no rules.
func (b *Batch) Chain(t *nftables.Table, name string) *nftables.Chain {
	return b.chain(&nftables.Chain{Table: t, Name: name})
}

// Hook makes sure that a chain exists at a hook of the kernel's packet path, and has no rules.
func (b *Batch) Hook(t *nftables.Table, name string, kind nftables.ChainType, hook *nftables.ChainHook,
	priority nftables.ChainPriority) *nftables.Chain {
	return b.chain(&nftables.Chain{Table: t, Name: name, Type: kind, Hooknum: hook, Priority: &priority})
}

func (b *Batch) chain(c *nftables.Chain) *nftables.Chain {
	b.size++
	b.conn.AddChain(c)
	b.conn.FlushChain(c)
	return c
}

// Rule appends a rule: parts one after the other.
func (b *Batch) Rule(c *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, part := range parts {
		all = append(all, part...)
	}
	b.size++
	b.conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: all})
}

// Set makes sure that a set or map exists; its elements stay.
func (b *Batch) Set(s *nftables.Set) *nftables.Set {
	b.lastID++
	s.ID = b.lastID // the library's own counter is shared by goroutines without a lock
	b.size++
	b.fail(b.conn.AddSet(s, nil))
	return s
}

// Flush removes all elements of a set.
func (b *Batch) Flush(s *nftables.Set) {
	b.size++
	b.conn.FlushSet(s)
}

// Add puts elements into a set; one that is there with the same value is no error.
func (b *Batch) Add(s *nftables.Set, elements []nftables.SetElement) {
	b.chunks(elements, func(part []nftables.SetElement) error { return b.conn.SetAddElements(s, part) })
}

// Delete takes elements out of a set; all must be there.
func (b *Batch) Delete(s *nftables.Set, elements []nftables.SetElement) {
	b.chunks(elements, func(part []nftables.SetElement) error { return b.conn.SetDeleteElements(s, part) })
}

func (b *Batch) chunks(elements []nftables.SetElement, send func([]nftables.SetElement) error) {
	for len(elements) > 0 {
		n := min(len(elements), elementsPerMessage)
		b.size++
		b.fail(send(elements[:n]))
		elements = elements[n:]
	}
}

func (b *Batch) fail(err error) {
	if b.err == nil && err != nil {
		b.err = fmt.Errorf("encode nftables change: %w", err)
	}
}

// TableExists tells whether the family has a table of this name.
func TableExists(f Family, name string) (bool, error) {
	conn, err := open()
	if err != nil {
		return false, err
	}
	tables, err := conn.ListTablesOfFamily(f.table)
	if err != nil {
		return false, fmt.Errorf("list nftables tables: %w", err)
	}
	for _, t := range tables {
		if t.Name == name {
			return true, nil
		}
	}
	return false, nil
}
