// Package gatewayapi keeps the module in go.mod; nothing of it is compiled.
package gatewayapi

import _ "sigs.k8s.io/gateway-api/apis/v1"
