package image

import (
	"context"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/image/names"
	"dhow/image/registry"
)

// RemoteTags lists the tags that a repository has at its registry or the first mirror that answers.
func (s *Store) RemoteTags(ctx context.Context, repository string, auth *cri.AuthConfig) ([]string, error) {
	ref, err := names.Parse(repository)
	if err != nil {
		return nil, err
	}
	file, err := registry.Read(s.file)
	if err != nil {
		return nil, err
	}
	sources, err := file.Sources(ref, auth)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, from := range sources {
		tags, err := from.Tags(ctx)
		from.Close()
		if err == nil {
			return tags, nil
		}
		failed = registry.Explain("list tags of", repository, from.Ref, err)
	}
	return nil, failed
}

// HasRepository tells whether any tag of a repository is here.
func (s *Store) HasRepository(_ context.Context, repository string) bool {
	full, err := names.Normalize(repository)
	if err != nil {
		return false
	}
	found, err := s.ofRepository(full)
	return err == nil && len(found) > 0
}
