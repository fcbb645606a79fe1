// Package plan decides what happens to a LiveStream. It is pure: what was observed and the time go in, a value comes out.
//
// A broadcast begins when a push is live and no broadcast is open. It carries on while a push is live, and for a window after
// the last one ended; the window depends on why it ended. It ends in the pass that sees the window over and no push live.
// How long the window has lasted is counted by the operator's own clock from the pass that first saw no live push, so that
// neither a callback that was late nor a clock at the provider ends a broadcast early.
//
// Workloads belong to the broadcast. Each gets one Job; while a push is live, one that ended early is followed by the next
// part, with backoff. During the window nothing is started or stopped. Jobs of any other broadcast are stopped.
//
// What was decided is in the status, and the Jobs say which broadcast they began with: where the operator died after making a
// Job and before writing the status, the Job is believed.
package plan
