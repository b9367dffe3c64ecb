// Package inside is what the OCI runtime does inside a container: the init that builds the root, waits for start and
// becomes the command, and the entrance of further commands. Package oci starts both in their namespaces; they are parts
// of the shim's small program, so this imports little. Who a bundle's config.json asks for what is not known here.
package inside
