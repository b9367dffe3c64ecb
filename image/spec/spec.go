// Package spec is the configuration of images: what it is, and how commands change it.
package spec

import (
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image's configuration (OCI image-spec, config.md), with what Docker adds to it. Fields that neither
// knows are kept in the stored configuration, but are not seen here.
type Image struct {
	ocispec.Platform
	Created *time.Time        `json:"created,omitempty"`
	Author  string            `json:"author,omitempty"`
	Comment string            `json:"comment,omitempty"`
	Config  RunConfig         `json:"config"`
	RootFS  RootFS            `json:"rootfs"`
	History []ocispec.History `json:"history,omitempty"`
}

// RootFS lists the layers of an image by the digests of their plain archives ("sha256:…"), lowest first.
type RootFS struct {
	Type    string   `json:"type"` // "layers"
	DiffIDs []string `json:"diff_ids"`
}

// RunConfig is how a container of an image runs: OCI's, and Docker's HEALTHCHECK, ONBUILD and SHELL.
type RunConfig struct {
	ocispec.ImageConfig
	Healthcheck *Healthcheck `json:"Healthcheck,omitempty"`
	OnBuild     []string     `json:"OnBuild,omitempty"`
	Shell       []string     `json:"Shell,omitempty"`
}

// Healthcheck is Docker's HEALTHCHECK. Durations are in nanoseconds in JSON; zero stands for Docker's default.
type Healthcheck struct {
	Test          []string      `json:"Test,omitempty"` // ["NONE"], ["CMD", …] or ["CMD-SHELL", text]
	Interval      time.Duration `json:"Interval,omitempty"`
	Timeout       time.Duration `json:"Timeout,omitempty"`
	StartPeriod   time.Duration `json:"StartPeriod,omitempty"`
	StartInterval time.Duration `json:"StartInterval,omitempty"`
	Retries       int           `json:"Retries,omitempty"`
}
