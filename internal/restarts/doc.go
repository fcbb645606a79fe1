// Package restarts decides how many Jobs a second are made again that ended at once while their stream is on air, and whose. A fleet of streams with a
// recorder that cannot start would take the API server from all others: its Jobs are made as fast as writes stay about as quick as usual, one a second at
// least. It rests on values alone, time among them. See docs/adr/0010-jobs-made-again.md.
package restarts
