# SPDX-License-Identifier: GPL-2.0
# Two hosts, the namespaces ipa and ipb, with a router between them, ipr; to be sourced.
# a, b and r COMMAND... run a command there. The hosts' device is `wire`, the router's are `ra` and `rb`.

a() { ip netns exec ipa "$@"; }
b() { ip netns exec ipb "$@"; }
r() { ip netns exec ipr "$@"; }

# Makes them: ipa is 10.85.0.2, and ipb is .2 of the given network, as 10.86.0; the router is .1 of both.
hosts() { # NETWORK
	local space link device
	for space in ipa ipb ipr; do
		ip netns add $space
		ip netns exec $space ip link set lo up
	done
	r ip link add ra type veth peer name wire netns ipa
	r ip link add rb type veth peer name wire netns ipb
	a ip address add 10.85.0.2/24 dev wire
	r ip address add 10.85.0.1/24 dev ra
	b ip address add "$1.2/24" dev wire
	r ip address add "$1.1/24" dev rb
	for link in 'a wire' 'b wire' 'r ra' 'r rb'; do
		read -r space device <<<"$link"
		$space ip link set "$device" up
	done
	a ip route add default via 10.85.0.1
	r sysctl -qw net.ipv4.ip_forward=1
}

hosts_end() {
	local space
	for space in ipa ipb ipr; do ip netns del $space; done
}
