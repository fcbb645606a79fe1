package webhook

import (
	"net"
	"net/netip"
	"sync"
)

// perSource is a listener that holds at most a number of connections of each source, and closes those beyond at once. Where a
// proxy stands before it, all connections are the proxy's.
type perSource struct {
	net.Listener

	most int
	mu   sync.Mutex
	open map[netip.Prefix]int
}

func newPerSource(listener net.Listener, most int) *perSource {
	return &perSource{Listener: listener, most: most, open: map[netip.Prefix]int{}}
}

// Accept returns the next connection of a source that has room for it.
func (l *perSource) Accept() (net.Conn, error) {
	for {
		connection, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(connection.RemoteAddr())
		if l.enter(source) {
			return &counted{Conn: connection, leave: sync.OnceFunc(func() { l.leave(source) })}, nil
		}
		refusedConnections.Inc()
		_ = connection.Close()
	}
}

func (l *perSource) enter(source netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[source] >= l.most {
		return false
	}
	l.open[source]++
	return true
}

func (l *perSource) leave(source netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[source]--; l.open[source] == 0 {
		delete(l.open, source)
	}
}

// counted gives its place back when it is closed, however often.
type counted struct {
	net.Conn

	leave func()
}

func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}

// sourceOf is an IPv4 address, or the /64 of an IPv6 address: whoever has one address of it has all.
func sourceOf(address net.Addr) netip.Prefix {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits)
	return prefix
}
