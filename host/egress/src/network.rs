//! Names, sockets, and which addresses are this machine's own. Tests put a scripted one in its place.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;

use tokio::net::TcpStream;

pub(crate) type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

pub(crate) trait Network: fmt::Debug + Send + Sync {
    /// All addresses of a name. A `whole` name is not completed with the machine's own domains.
    fn resolve<'a>(&'a self, name: &'a str, whole: bool) -> Wait<'a, io::Result<Vec<IpAddr>>>;

    /// Opens a connection to exactly this address.
    fn connect(&self, address: SocketAddr) -> Wait<'_, io::Result<TcpStream>>;

    /// Whether an address is one of this machine's.
    fn is_own(&self, address: IpAddr) -> bool;
}

/// The machine's own.
#[derive(Debug)]
pub(crate) struct Machine;

impl Network for Machine {
    fn resolve<'a>(&'a self, name: &'a str, whole: bool) -> Wait<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let name = if whole { format!("{name}.") } else { name.to_owned() };
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }

    fn connect(&self, address: SocketAddr) -> Wait<'_, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(address))
    }

    /// Asks the routing table: who talks to an address of his own does it from that address. Nothing is sent.
    fn is_own(&self, address: IpAddr) -> bool {
        let any: IpAddr = match address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.connect((address, 9))?;
            socket.local_addr()
        });
        local.is_ok_and(|local| local.ip() == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_knows_its_own_addresses() {
        assert!(Machine.is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!Machine.is_own(Ipv4Addr::new(192, 0, 2, 1).into()));
    }
}
