package worker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/ladder"
	"github.com/livestream-operator/livestream-operator/internal/recording"
	"github.com/livestream-operator/livestream-operator/internal/store"
)

// transcoder makes renditions of a broadcast: a ladder in the store, each rung of which is kept as a recording in HLS is, or pushes.
type transcoder struct {
	*Worker

	// storing ends the uploads.
	storing context.Context //nolint:containedctx // they begin when the source is known, and outlive it
	uploads sync.WaitGroup

	mu sync.Mutex
	// rungs are chosen by the source at the first connect of the broadcast, and stay: players have read the master playlist.
	rungs []*rung
	// hindered is what kept media that came from getting on last.
	hindered error
	// went says that a destination took what was encoded.
	went atomic.Bool
}

// rung is a rendition with what records it.
type rung struct {
	ladder.Rendition
	*Worker

	uploader *uploader
	// tells stores what the next worker has to know; one rendition does it for all.
	tells  func(context.Context)
	mu     sync.Mutex
	stored []recording.Part
}

func newTranscoder(w *Worker) *transcoder {
	w.Health.Encodes()
	return &transcoder{Worker: w}
}

// liveLength is how far the live playlist of a rendition reaches back.
const liveLength = 10 * time.Minute

func (t *transcoder) run(ctx context.Context) recording.Result {
	if t.Config.Transcoding.Push != nil {
		t.pull(ctx, t.source)
		if err := t.hindrance(); err != nil && !t.went.Load() {
			return recording.Result{Message: bounded("nothing was pushed: " + err.Error())}
		}
		return recording.Result{Ready: true}
	}
	storing, endUploads := context.WithCancel(ctx)
	t.storing = storing
	defer t.uploads.Wait()
	defer endUploads()
	// Of one that only finishes, looking for the ladder is a part of that.
	finishing, cancel := context.WithTimeout(ctx, t.patience(true))
	defer cancel()
	if err := t.resume(finishing); err != nil {
		t.Log.Error("Could not go on with the ladder", "error", err)
		return recording.Result{Message: bounded(err.Error())}
	}
	over := true
	if !t.Config.Finish {
		over = t.pull(ctx, t.source)
		pulled, done := context.WithTimeout(ctx, t.patience(over))
		defer done()
		finishing = pulled
	}
	result := t.finish(finishing, over)
	result.Left = !over
	if err := t.hindrance(); err != nil && result.Nothing {
		return recording.Result{Message: bounded("nothing was encoded: " + err.Error()), Left: result.Left}
	}
	return result
}

// hinder notes why media that came does not get on.
func (t *transcoder) hinder(err error) {
	t.mu.Lock()
	t.hindered = err
	t.mu.Unlock()
	t.Health.Hindered(err)
}

func (t *transcoder) hindrance() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hindered
}

func (t *transcoder) source(context.Context) source {
	if t.Config.Playback.Protocol == "HLS" {
		return &ladderPlaylist{transcoder: t}
	}
	return &ladderSource{transcoder: t}
}

// chosen are the rungs, nil until the source is known.
func (t *transcoder) chosen() []*rung {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rungs
}

// resume goes on with the ladder that an earlier worker chose, by what it left in the spool; by what the store has where that is not there,
// or cannot be read. The context ends looking there.
func (t *transcoder) resume(ctx context.Context) error {
	renditions, err := readLadder(os.ReadFile(filepath.Join(t.Spool.dir, recording.LadderName)))
	if renditions == nil {
		text, unavailable := t.storedLadder(ctx)
		if unavailable != nil {
			return fmt.Errorf("looking for the ladder of the broadcast: %w", unavailable)
		}
		if text != nil {
			renditions, err = readLadder(text, nil)
		}
		if renditions != nil {
			// A disk that is full must not keep what is on it from being stored.
			if err := t.keepLadder(renditions); err != nil {
				t.Log.Warn("Could not keep the ladder of the broadcast in the spool", "error", err)
			}
		}
	}
	if renditions != nil {
		return t.choose(t.storing, renditions)
	}
	if err != nil {
		// Media that comes chooses it anew. Without any, what was encoded before must not pass for nothing.
		t.Log.Warn("Could not read the ladder of the broadcast", "error", err)
		t.hinder(err)
	}
	return nil
}

// keepLadder leaves in the spool what was chosen, for the worker after this one.
func (t *transcoder) keepLadder(renditions []ladder.Rendition) error {
	text, err := json.Marshal(renditions)
	if err != nil {
		return fmt.Errorf("encoding the ladder: %w", err)
	}
	if err := writeNew(filepath.Join(t.Spool.dir, recording.LadderName), text); err != nil {
		return fmt.Errorf("keeping the ladder: %w", err)
	}
	return nil
}

// readLadder is nil where there is no such file.
func readLadder(text []byte, err error) ([]ladder.Rendition, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var renditions []ladder.Rendition
	if err == nil {
		err = json.Unmarshal(text, &renditions)
	}
	if err == nil && len(renditions) == 0 {
		err = errors.New("it names no rendition")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ladder of the broadcast: %w", err)
	}
	return renditions, nil
}

// storedLadder is nil where there is none, or where the store is away while the show goes on: it is chosen anew, as it was, for the
// source is the same.
func (t *transcoder) storedLadder(ctx context.Context) ([]byte, error) {
	key := t.folder() + recording.LadderFolder + recording.LadderName
	if !t.Config.Finish {
		soon, cancel := context.WithTimeout(ctx, resumeTimeout)
		defer cancel()
		text, err := t.read(soon, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Log.Warn("Could not look for the ladder of the broadcast; choosing it anew", "error", err)
		}
		return text, nil
	}
	var text []byte
	err := retry(ctx, func() (err error) {
		text, err = t.read(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	return text, err
}

// choose opens the rungs, and begins to store what comes of them. The context ends looking for what is stored already.
func (t *transcoder) choose(ctx context.Context, renditions []ladder.Rendition) error {
	if t.PushAddress != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, r := range renditions {
			t.rungs = append(t.rungs, &rung{Rendition: r})
		}
		return nil
	}
	text, err := json.Marshal(renditions)
	if err != nil {
		return fmt.Errorf("encoding the ladder: %w", err)
	}
	rungs := make([]*rung, 0, len(renditions))
	for _, r := range renditions {
		one, err := t.open(r)
		if err != nil {
			return err
		}
		rungs = append(rungs, one)
	}
	rungs[0].tells = t.tellPulled
	// Before there is a run: its number is that of all its parts.
	var looking sync.WaitGroup
	for _, r := range rungs {
		looking.Go(func() { r.goOn(ctx) })
	}
	looking.Wait()
	t.mu.Lock()
	t.rungs = rungs
	t.mu.Unlock()
	for i, r := range rungs {
		t.uploads.Go(func() {
			if i == 0 {
				// Players begin there.
				t.announce(t.storing, text)
			}
			r.uploader.run(t.storing)
		})
	}
	return nil
}

// open makes a worker of its own for a rendition: what is kept of it, and how, is as with a recording in HLS.
func (t *transcoder) open(r ladder.Rendition) (*rung, error) {
	spool, err := OpenSpool(filepath.Join(t.Spool.dir, r.Name), t.Config.Job, t.Spool.limit/int64(len(t.Config.Transcoding.Renditions)))
	if err != nil {
		return nil, fmt.Errorf("opening the spool of rendition %q: %w", r.Name, err)
	}
	w := *t.Worker
	w.Config.Format, w.Config.Transcoding = recording.HLS, nil
	if w.Config.Spool != "" {
		w.Config.Spool += "/" + r.Name
	}
	w.Spool, w.subfolder = spool, recording.LadderFolder+r.Name+"/"
	w.Log = t.Log.With("rendition", r.Name)
	one := &rung{Rendition: r, Worker: &w}
	one.uploader = &uploader{Worker: &w, folder: w.folder(), stored: one.publishLive}
	return one, nil
}

// announce stores what tells players, and the next worker, of the renditions. At the end it is stored again.
func (t *transcoder) announce(ctx context.Context, text []byte) {
	folder := t.folder() + recording.LadderFolder
	err := retry(ctx, func() error {
		if _, err := t.Store.PutStream(ctx, folder+recording.LadderName, bytes.NewReader(text)); err != nil {
			return err
		}
		_, err := t.Store.PutStream(ctx, folder+recording.MasterName, bytes.NewReader([]byte(master(t.chosen()))))
		return err
	})
	if err != nil {
		t.Log.Warn("Could not store the master playlist", "error", err)
	}
}

func master(rungs []*rung) string {
	renditions := make([]ladder.Rendition, 0, len(rungs))
	for _, r := range rungs {
		renditions = append(renditions, r.Rendition)
	}
	return ladder.Master(renditions)
}

// goOn looks for what an earlier worker stored, so that the live playlist and the numbers of the parts go on.
func (r *rung) goOn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	parts, err := r.Worker.stored(ctx)
	if err != nil {
		r.Log.Warn("Could not look for what is stored already; the live playlist begins anew", "error", err)
	}
	if r.Spool.Fresh() {
		r.Spool.Follow(parts)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored = recording.Sort(parts)
}

// publishLive lets players see a segment that was stored. Another follows soon: a failure only delays them.
func (r *rung) publishLive(ctx context.Context, p recording.Part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tells != nil {
		r.tells(ctx)
	}
	// What was stored by a worker that was killed before it could note that is stored again.
	same := func(known recording.Part) bool {
		return known.Job == p.Job && known.Number == p.Number && known.Start.Equal(p.Start)
	}
	if !slices.ContainsFunc(r.stored, same) {
		r.stored = append(r.stored, p)
	}
	if r.over(ctx) {
		return
	}
	key := r.folder() + recording.FileName(recording.HLS)
	if _, err := r.Store.PutStream(ctx, key, bytes.NewReader([]byte(recording.LivePlaylist(r.stored, liveLength)))); err != nil {
		r.Log.Warn("Could not store the live playlist", "error", err)
	}
}

// over says whether another worker has finished the ladder: one that is late, on a node that was cut off, must not make it live again.
func (r *rung) over(ctx context.Context) bool {
	text, err := r.read(ctx, r.folder()+recording.ManifestName)
	var manifest recording.Manifest
	return err == nil && json.Unmarshal(text, &manifest) == nil && manifest.Complete
}

// tellPulled takes what was pulled of a playlist to the store. It runs ahead of what is encoded by what the encoder holds.
func (t *transcoder) tellPulled(ctx context.Context) {
	text, err := os.ReadFile(filepath.Join(t.Spool.dir, recording.PulledName))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		_, err = t.Store.PutStream(ctx, t.folder()+recording.LadderFolder+recording.PulledName, bytes.NewReader(text))
	}
	if err != nil {
		t.Log.Warn("Could not store which segments were pulled", "error", err)
	}
}

// finish completes each rendition, and then the playlist that names them.
func (t *transcoder) finish(ctx context.Context, over bool) recording.Result {
	t.Health.Finishing()
	if !over {
		return t.leave(ctx)
	}
	total := recording.Result{Nothing: true, Message: "no media came"}
	var made []*rung
	for i, r := range t.chosen() {
		one := r.finish(ctx, r.uploader, over)
		if !one.Nothing {
			made = append(made, r)
		}
		if i == 0 || total.Nothing && !one.Nothing {
			size := total.SizeBytes
			total, total.SizeBytes = one, one.SizeBytes+size
			continue
		}
		total.SizeBytes += one.SizeBytes
		if one.Nothing {
			continue
		}
		if total.Ready && !one.Ready {
			total.URI, total.Message = one.URI, one.Message
		}
		total.Ready, total.Message = total.Ready && one.Ready, cmp.Or(total.Message, one.Message)
	}
	if !total.Ready {
		return total
	}
	var stored store.Object
	err := retry(ctx, func() (err error) {
		stored, err = t.Store.PutStream(ctx, t.folder()+recording.LadderFolder+recording.MasterName, bytes.NewReader([]byte(master(made))))
		return err
	})
	if err != nil {
		total.Ready, total.Message = false, bounded("storing the master playlist: "+err.Error())
		return total
	}
	total.URI, total.SHA256 = t.Store.URI(stored.Key), stored.SHA256
	return total
}

// leave stores what there is for the next worker. The playlists stay live: players wait for it.
func (t *transcoder) leave(ctx context.Context) recording.Result {
	for _, r := range t.chosen() {
		if err := retry(ctx, func() error { return r.uploader.rest(ctx) }); err != nil {
			return r.keep(fmt.Errorf("storing the last segments: %w", err))
		}
	}
	return recording.Result{Message: "ended before the broadcast; what was encoded is stored, and the next part goes on"}
}
