// Package api is the part of upstream's end-to-end suite that judges an API server: built by itself it takes a
// fraction of the whole suite's time, so that every change can be judged.
package api
