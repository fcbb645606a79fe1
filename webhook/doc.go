// Package webhook receives the callbacks of live services over HTTP. It has nothing to do with admission webhooks.
//
// Every replica receives. A callback is answered 200 only after what it says is in etcd, because the sender forgets it then;
// everything else is answered so that the sender comes again, or learns what is wrong. Importable only because of the folder's
// name: there is no promise of compatibility for this package.
package webhook
