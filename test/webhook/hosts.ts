/** Every way to write an address, and of every range of the registries at least one; none is public. */
export const privateHosts = words(`
  127.0.0.1 127.0.0.1. 127.1 127.255.255.254 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001
  ①②⑦.0.0.1 １２７.0.0.1 127。0。0。1 %31%32%37.0.0.1 0 0.0.0.0
  [::] [::1] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [::ffff:0:127.0.0.1]
  localhost LOCALHOST localhost. a.b.localhost ⓛocalhost loc%61lhost

  10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255
  169.254.169.254 2852039166 [::ffff:169.254.169.254] [fd00:ec2::254] 100.100.100.200 192.0.0.192 168.63.129.16
  [fc00::1] [fdff::1] [fe80::1] [febf::1] [fec0::1]

  [64:ff9b::127.0.0.1] [64:ff9b::a00:1] [64:ff9b::] [64:ff9b:1::1]
  [2002:7f00:1::] [2002:808:808::] [2001:0:808:808::]

  192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 198.19.255.255 192.88.99.1
  [2001:db8::1] [3fff::1] [2001:2::1] [100::1] [5f00::1]

  224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 4294967295 [ff02::1] [ff0e::1] [4000::1] [1::1]
`)

/** Public, and many just beside a range that is not. */
export const publicHosts = words(`
  8.8.8.8 1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1
  172.15.255.255 172.32.0.0 192.0.1.0 223.255.255.255
  [2606:4700::1111] [2a00:1450::1] [64:ff9b::8.8.8.8] [::ffff:8.8.8.8]
  example.com example.com. localhost.example.com notlocalhost bücher.example
`)

function words(text: string): string[] {
  return text.trim().split(/\s+/)
}
