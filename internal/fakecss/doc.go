// Package fakecss is Tencent Cloud CSS for tests and laptops, in front of a real ingest: nginx with the RTMP module tells it who
// publishes and who stops, and it sends what CSS would send to the callback URL, and answers what CSS's API would answer.
//
// One publish is one push, with one sequence: random digits, which do not grow with time. Its start is event_type 1, its end
// event_type 0. A callback is tried until HTTP 200, 12 times more, a minute apart, 20 s each; t and sign are made anew for every
// try. One callback does not wait for another: CSS promises no order. Bodies are byte for byte like the samples of the 2024
// edition. Without a key neither sign nor t is sent, which the vendor does not document.
// Sources: https://www.tencentcloud.com/document/product/267/38080 and https://www.tencentcloud.com/document/product/267/38081.
//
// nginx does not tell how a push ended: a clean deleteStream and a pulled cable look the same. So the caller says what the next
// interruptions are (NextInterruption, or POST /control/next); all others are a client that stopped, errcode 1.
//
// CSS waits 70 s for a connection that the network dropped; one that comes back within them goes on with its sequence and no
// event is sent, one that does not is told of 70 s late. Options.Resume does that for errcode 12 to 17. It is off by default,
// because nginx closes at once: its players are cut off and its stream is gone, while CSS's go on waiting, so that a worker would
// see an interruption of which the operator is never told.
// Source: the vendor's questions and answers on pushing and playing, in github.com/tencentyun/intlcloud-documents (2024).
//
// Two pushers on one name are two pushes. The first is played, the second is a standby and takes over when the first ends; each has
// its start and its end. They come in through one application, through two that Options.Feeds maps to one, or through two
// servers. Only the played one is relayed to where players are (Options.Play); nginx's control module moves the standby there.
// Accounts differ: Options.Second can let the second replace the first, or be refused.
// Source: the same page, and https://cloud.tencent.com/document/product/267/100422.
//
// Chaos loses, doubles, delays and reorders callbacks. What happens to the n-th callback of a stream follows from the seed, the
// stream and n alone, so that a failure can be played again.
//
// engine is all of that as a function of notices and times; Server is its thin edge to HTTP and the clock.
package fakecss
