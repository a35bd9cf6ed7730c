//! Thin wrappers of what Linux offers: programs, users, other processes of ours, the sandbox, the service manager,
//! netlink attributes, sockets, bounded text files; and the client for HTTPS, whose certificates are the system's.

pub mod clock;
pub mod file_stamp;
pub mod https;
pub mod journal_socket;
pub mod json_line;
pub mod local_server;
pub mod memory;
pub mod mutex;
pub mod netlink;
pub mod peer;
pub mod program;
pub mod replace;
pub mod sandbox;
pub mod secret_file;
pub mod service_manager;
pub mod sock_diag;
pub mod ssh_client;
pub mod tcp;
pub mod text_file;
pub mod user;
