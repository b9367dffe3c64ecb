// Package resilience has tests only: what the API server does with bad input, under load, on a full disk, and when it
// ends. Each starts a real server.
package resilience
