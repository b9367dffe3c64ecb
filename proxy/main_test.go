package proxy

import (
	"testing"

	"dhow/network/networktest"
)

func TestMain(m *testing.M) { networktest.Main(m) }
