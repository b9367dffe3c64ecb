package nft

import (
	"errors"
	"fmt"
	"slices"
	"sync"

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

// Socket talks to the nftables of a network namespace. The zero value is ready.
// It stays open between changes: whenever such a socket is closed, the kernel waits some 10 ms for what was deleted.
type Socket struct {
	// NetNS is a descriptor of the namespace; 0: that of the thread that first uses the socket.
	NetNS int

	mu   sync.Mutex // held for the whole of a change
	conn *nftables.Conn
}

// Batch collects changes for Socket.Change.
type Batch struct {
	conn   *nftables.Conn
	lastID uint32
	size   int
	err    error
}

// Change applies what collect adds to the batch, as a whole or not at all. Nothing is not sent.
func (s *Socket) Change(collect func(*Batch)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	b := &Batch{conn: s.conn}
	collect(b)
	if b.size == 0 {
		return nil
	}
	err := b.err
	if err == nil {
		err = s.conn.Flush()
	}
	if err != nil {
		// The socket may still hold answers, and the library messages, of what went wrong.
		return errors.Join(fmt.Errorf("change nftables: %w", err), s.close())
	}
	return nil
}

// Close closes the socket; it opens again when it is used again.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.close()
}

func (s *Socket) close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.CloseLasting()
	s.conn = nil
	if err != nil {
		return fmt.Errorf("close nftables socket: %w", err)
	}
	return nil
}

func (s *Socket) open() error {
	if s.conn != nil {
		return nil
	}
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(s.NetNS), nftables.WithSockOptions(func(c *mnl.Conn) error {
		if err := c.SetReadBuffer(bufferBytes); err != nil {
			return err
		}
		return c.SetWriteBuffer(bufferBytes)
	}))
	if err != nil {
		return fmt.Errorf("open nftables socket: %w", err)
	}
	s.conn = conn
	return nil
}

// TableExists tells whether the family has a table of this name.
func (s *Socket) TableExists(f Family, name string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return false, err
	}
	tables, err := s.conn.ListTablesOfFamily(f.table)
	if err != nil {
		return false, errors.Join(fmt.Errorf("list nftables tables: %w", err), s.close())
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == name }), nil
}

// DropTables removes the tables of a name in both families, where they exist.
func (s *Socket) DropTables(name string) error {
	var there []Family
	for _, f := range []Family{V4(), V6()} {
		exists, err := s.TableExists(f, name)
		if err != nil {
			return err
		}
		if exists {
			there = append(there, f)
		}
	}
	return s.Change(func(b *Batch) {
		for _, f := range there {
			b.DropTable(f, name)
		}
	})
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
