/** Where an attempt goes: a receiver of a host in a network. */
export interface Target {
  receiver: string
  host: string
  network: string
}

/** How many go to each receiver, host and network. */
export class Counts {
  total = 0
  readonly receiver = new Count()
  readonly host = new Count()
  readonly network = new Count()

  constructor(targets: readonly Target[]) {
    for (const target of targets) this.add(target)
  }

  add({ receiver, host, network }: Target): void {
    this.total += 1
    this.receiver.add(receiver)
    this.host.add(host)
    this.network.add(network)
  }
}

class Count {
  readonly #counts = new Map<string, number>()

  of(key: string): number {
    return this.#counts.get(key) ?? 0
  }

  add(key: string): void {
    this.#counts.set(key, this.of(key) + 1)
  }
}
