package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// etcd is the store under the API server, spoken to by its JSON gateway. A hundred thousand LiveStreams that are settled are put
// there in half a minute, where by the API server it would take ten: create and status are a write each.
//
// What is put is a copy of what the API server itself had written, but for names and UIDs; caches learn of it by their watches.
type etcd struct {
	url    string
	client *http.Client
}

func newEtcd(url string) *etcd {
	return &etcd{url: url, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: seeders}}}
}

// seeders is how many put at once.
const seeders = 32

type keyValue struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value,omitempty"`
}

func (e *etcd) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encoding a call of etcd: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("preparing a call of etcd: %w", err)
	}
	response, err := e.client.Do(request)
	if err != nil {
		return fmt.Errorf("calling etcd: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("calling etcd: %s answers %s", path, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("reading etcd's answer: %w", err)
	}
	return nil
}

// revision is raised by each write.
func (e *etcd) revision(ctx context.Context) (string, error) {
	var answer struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	err := e.call(ctx, "/v3/kv/range", map[string]any{"key": []byte("/"), "count_only": true}, &answer)
	return answer.Header.Revision, err
}

// etcdAtRest waits until nothing at all was written for a while: neither by the operator nor by what follows from it.
func (w *world) etcdAtRest(ctx context.Context) error {
	const rest = 2 * time.Second
	last, since := "", time.Now()
	return until(ctx, scrapeEvery, "nothing is written", func() (bool, error) {
		now, err := w.etcd.revision(ctx)
		if now != last {
			last, since = now, time.Now()
		}
		return err == nil && time.Since(since) > rest, err
	})
}

func (e *etcd) get(ctx context.Context, key string) ([]byte, error) {
	var answer struct {
		KVs []keyValue `json:"kvs"`
	}
	if err := e.call(ctx, "/v3/kv/range", keyValue{Key: []byte(key)}, &answer); err != nil {
		return nil, err
	}
	if len(answer.KVs) == 0 {
		return nil, errors.New("etcd has no " + key)
	}
	return answer.KVs[0].Value, nil
}

func (e *etcd) put(ctx context.Context, key string, value []byte) error {
	var answer struct{}
	return e.call(ctx, "/v3/kv/put", keyValue{Key: []byte(key), Value: value}, &answer)
}

// putAll puts what make returns for each number from first on, count of them.
func (e *etcd) putAll(ctx context.Context, first, count int, make func(i int) []keyValue) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(seeders)
	for i := range count {
		group.Go(func() error {
			for _, kv := range make(first + i) {
				if err := e.put(ctx, string(kv.Key), kv.Value); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

// removeAll deletes every key under the prefix. Watches tell.
func (e *etcd) removeAll(ctx context.Context, prefix string) error {
	end := []byte(prefix)
	end[len(end)-1]++
	var answer struct{}
	return e.call(ctx, "/v3/kv/deleterange", map[string][]byte{"key": []byte(prefix), "range_end": end}, &answer)
}
