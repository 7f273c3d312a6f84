"""The native wire, draft 1, a second time: from docs/protocol.md alone, with Python's standard library alone.

    python3 core/tests/second                            every golden datagram, vector and sample
    python3 core/tests/second --node target/debug/kadlet and real nodes of this program, both ways
    python3 core/tests/second --talk 127.0.0.1:4242      ping and find_node one node, wherever it is
    python3 core/tests/second --serve 127.0.0.1:4242     answer ping and find_node until stopped
"""

import argparse
import sys

import golden
import live
import records
from talk import Peer, host_and_port


def check(what, checked):
    count, wrong = checked
    print(f"{what}: {count - len(wrong)} of {count} agree")
    for line in wrong:
        print(f"  {line}")
    return not wrong and count > 0


def serve(bind, network):
    peer = Peer(records.network(network), bind, client=False, strict=True)
    print(f"listening {peer.name[0]}:{peer.name[1]} {peer.id.hex()}", flush=True)
    while True:
        peer.wait(lambda: peer.asked)
        for query, source in peer.asked:
            print(f"{source[0]}:{source[1]}", *golden.said(query), flush=True)
        peer.asked.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", metavar="PROGRAM")
    parser.add_argument("--talk", metavar="IP:PORT", type=host_and_port)
    parser.add_argument("--serve", metavar="IP:PORT", type=host_and_port)
    parser.add_argument("--network", default="kadlet", metavar="NAME", help="for --talk and --serve")
    options = parser.parse_args()
    if options.talk:
        peer = Peer(records.network(options.network), ("::" if ":" in options.talk[0] else "0.0.0.0", 0))
        _, found = live.talk(peer, options.talk)
        print(*golden.said(found))
        return 0
    if options.serve:
        return serve(options.serve, options.network)
    agreed = [
        check("datagrams", golden.datagrams()),
        check("vectors", golden.record_vectors()),
        check("samples", golden.samples()),
    ]
    if options.node:
        print(f"real nodes: as documented, in {live.run(options.node):.1f} s")
    return 0 if all(agreed) else 1


if __name__ == "__main__":
    sys.exit(main())
