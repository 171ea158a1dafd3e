//! Reading the host: links, addresses, routes, neighbours, namespaces.
