package engine

// Health is starting, healthy or unhealthy, and empty for a container without a check.
func (s *Service) Health(*Container) string { return "" }

func (s *Service) watchHealth(*Container) error { return nil }
