package webhook

import "time"

// Every bound of the receiver. CSS waits 20 s for an answer, and comes again 12 times, a minute apart.
const (
	// maxBodyBytes of a callback: they have some 600 bytes, stream_param with the user's own parameters among them.
	maxBodyBytes   = 64 << 10
	maxHeaderBytes = 16 << 10

	readHeaderTimeout = 2 * time.Second
	readTimeout       = 5 * time.Second
	// writeTimeout lets who sent its body slowly be answered, within the sender's patience.
	writeTimeout = 19 * time.Second
	// idleTimeout is longer than load balancers keep a connection, 10 min at most: one that is closed here first may be so under the next callback,
	// which then comes a minute later.
	idleTimeout = 11 * time.Minute
	// maxKept connections are open until others end with their answer: one answer, good or not, would hold a descriptor for that long.
	maxKept = 8192
	// shutdownTimeout lets callbacks that are being written get their answer.
	shutdownTimeout = 19 * time.Second

	// maxInFlight callbacks are worked on at once; more are told to come again.
	maxInFlight = 4096
	// maxWrites streams are written at once. An API server does not get faster by more, and what it is busy with waits here, not there.
	maxWrites = 64
	// queueWait is how long an event may have to wait for its turn, by how long writes take now: two writes where one takes longer than half of that, and
	// longestWait at most. As many are written a second however long the queue is, so a longer one would only have each wait, and those in vain for whom
	// writes become slower meanwhile.
	queueWait   = 6 * time.Second
	longestWait = 11 * time.Second
	// What the queue refuses is written as turns are left over, maxRefusedWrites streams at once, so that who comes meanwhile finds a turn. Of so many streams it is
	// kept, of so many events each, unless it was refused keptRefused ago: CSS sends it again after a minute, and it is refused again, or known.
	maxRefusedWrites                      = maxWrites / 2
	mostRefusedStreams, mostRefusedEvents = 16 << 10, 8
	keptRefused                           = 2 * time.Minute
	// maxWait is how long any waits, and when it may be foreseen to be written at the latest, so that storeTimeout leaves time for the write. What lies
	// between it and what was foreseen is for an API server that becomes slower: who is refused then has waited in vain.
	maxWait = 15 * time.Second
	// refusedLately is for how long the refusal of one event of a stream counts for the others: CSS tells within seconds of a push that was lost and
	// comes back, and of a refused event again a minute later.
	refusedLately = 5 * time.Second
	// storeTimeout bounds all that a callback may take from its headers to its answer, under the sender's patience.
	storeTimeout = 17 * time.Second
	// conflictWait is how long a write that lost against another waits at most before it reads and tries again.
	conflictWait = 20 * time.Millisecond
	// retryAfterSeconds is what a 503 says; CSS itself always waits a minute.
	retryAfterSeconds = "10"

	// maxHolders bounds the LiveStreams of one stream that its events are written to; one keeps it, the others may take over.
	maxHolders = 8
	// unclaimedEvery is how often the pushes that no LiveStream claims are written to a push domain.
	unclaimedEvery = time.Second

	// domainEvery is how often the status of a push domain is written for the sake of its callbacks.
	domainEvery = time.Minute
	// conflictTries is how often such a write is tried again when it lost against another.
	conflictTries = 10
	// domainQueue bounds the push domains that wait for that, some until they may be written again; more are left for their next callback.
	domainQueue = 1024
)

// Secrets are kept for KeepSecrets, and read again at most every SecretAgainAfter when a signature fits none of the keys:
// a key that was changed works at once, and a flood of bad signatures costs the API server little.
const (
	KeepSecrets      = time.Minute
	SecretAgainAfter = 2 * time.Second
	MaxSecrets       = 1024
)
