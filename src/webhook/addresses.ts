import { BlockList, isIP } from 'node:net'

/**
 * The ranges outside the public internet, and those that only look as if they were inside. From the multicast registry and
 * the special-purpose address registries of IANA, with every range there that is not globally reachable:
 * https://www.iana.org/assignments/iana-ipv4-special-registry
 * https://www.iana.org/assignments/iana-ipv6-special-registry
 */
const SPECIAL_IPV4 = [
  '0.0.0.0/8', // this host: Linux connects it to loopback
  '10.0.0.0/8', // private
  '100.64.0.0/10', // shared by carriers, and the metadata of Alibaba Cloud
  '127.0.0.0/8', // loopback
  '168.63.129.16/32', // in no registry: Azure answers its machines on it
  '169.254.0.0/16', // link local, and the metadata of most clouds
  '172.16.0.0/12', // private
  '192.0.0.0/24', // protocol assignments, and the metadata of Oracle Cloud
  '192.0.2.0/24', // documentation
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and broadcast
]

/** In IPv6 only the range given out as global unicast is public at all; these are the exceptions in it. */
const GLOBAL_IPV6 = '2000::/3'
const SPECIAL_IPV6 = [
  '2001::/23', // protocol assignments, with Teredo, whose addresses hold an IPv4 address
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4, whose addresses hold an IPv4 address
  '3fff::/20', // documentation
]

/** NAT64 reaches all of IPv4. Behind DNS64 a host may have no other address, so the IPv4 address inside decides. */
const NAT64 = '64:ff9b::'
const NAT64_BITS = 96

/** A BlockList takes ::ffff:10.0.0.1 for 10.0.0.1, so mapped addresses need no ranges of their own. */
const reachable = rangesOf('0.0.0.0/0', GLOBAL_IPV6, `${NAT64}/${NAT64_BITS}`)
const special = rangesOf(
  ...SPECIAL_IPV4,
  ...SPECIAL_IPV6,
  ...SPECIAL_IPV4.map(range => {
    const [network, bits] = range.split('/')
    return `${NAT64}${network}/${NAT64_BITS + Number(bits)}`
  }),
)

/** Whether anybody on the internet could reach this address too. */
export function isPublic(address: string): boolean {
  return holds(reachable, address) && !holds(special, address)
}

/** Names under localhost are loopback by RFC 6761, whatever resolves them. */
export function isLocalhost(hostname: string): boolean {
  return /(^|\.)localhost\.?$/i.test(hostname)
}

/** Addresses and CIDR ranges as one list. The host bits of a range do not matter. */
export function rangesOf(...ranges: string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [network = '', bits] = range.split('/')
    const family = familyOf(network)
    if (bits === undefined) list.addAddress(network, family)
    else list.addSubnet(network, Number(bits), family)
  }
  return list
}

/** Whether the list has the address; a link-local one may come with its zone, as fe80::1%eth0. Other texts are in no list. */
export function holds(list: BlockList, address: string): boolean {
  const [bare = ''] = address.split('%')
  return isIP(bare) !== 0 && list.check(bare, familyOf(bare))
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}
