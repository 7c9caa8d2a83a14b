-- SPDX-License-Identifier: GPL-2.0 OR MIT
--
-- Wireshark dissector for VMTP (RFC 1045) over IP: packets, block masks, management procedures, which Response belongs
-- to which Request, and expert notes for what breaks the protocol. Copy it to the personal plugins folder (Help, About
-- Wireshark, Folders), or start with: wireshark -X lua_script:vmtp.lua

local vmtp = Proto("vmtp", "Versatile Message Transaction Protocol")

local HEADER, CHECKSUM, BLOCK, GROUP = 64, 4, 512, 16384

local response_codes = {
	[0] = "OK", "RETRY", "RETRY_ALL", "BUSY", "NONEXISTENT_ENTITY", "ENTITY_MIGRATED", "NO_PERMISSION",
	"NOT_AWAITING_MSG", "VMTP_ERROR", "MSGTRANS_OVERFLOW", "BAD_TRANSACTION_ID", "STREAMING_NOT_SUPPORTED",
	"NO_RUN_RECORD", "RETRANS_TIMEOUT", "USER_TIMEOUT", "RESPONSE_DISCARDED", "SECURITY_NOT_SUPPORTED",
	"BAD_REPLY_SEGMENT", "SECURITY_REQUIRED", "STREAMED_RESPONSE", "TOO_MANY_RETRIES", "NO_PRINCIPAL", "NO_KEY",
	"ENCRYPTION_NOT_SUPPORTED", "NO_AUTHENTICATOR",
}

-- Appendix III: the parameters in the words from octet 36 of a Request on. e: entity (8 octets), x: word in hex,
-- d: decimal word, m: mask, r: response code.
local procedures = {
	[0x101] = { "ProbeEntity", "e coresident", "e entity", "d authDomain" },
	[0x102] = { "AuthProbeEntity", "e coresident", "e entity", "d authDomain", "x randomId" },
	[0x103] = { "ProbeEntityBlock", "e entity" },
	[0x104] = { "QueryVmtpNode", "e entity" },
	[0x105] = { "GetRequestForwarder", "e coresident", "e entity" },
	[0x106] = { "CreateEntity", "e entity" },
	[0x107] = { "DeleteEntity", "e entity" },
	[0x108] = { "QueryEntity", "e entity" },
	[0x109] = { "SignalEntity", "e entity", "x signal" },
	[0x10A] = { "CreateGroup", "e coresident", "e group", "e entity", "x permissions" },
	[0x10B] = { "AddToGroup", "e coresident", "e group", "e entity", "x permissions" },
	[0x10C] = { "RemoveFromGroup", "e coresident", "e group", "e entity" },
	[0x10D] = { "QueryGroup", "e entity" },
	[0x10E] = { "ModifyService", "e entity", "x flags", "d count", "x pc" },
	[0x10F] = { "NotifyVmtpClient", "e client", "x ctrl", "d recSeq", "x transact", "m delivery", "r code" },
	[0x110] = { "NotifyVmtpServer", "e server", "e client", "x transact", "m delivery", "r code" },
	[0x111] = { "NotifyRemoteVmtpClient", "e client", "x ctrl", "d recSeq", "x transact", "m delivery", "r code" },
}

-- The results in the words from octet 36 on of the Responses that have any.
local results = {
	[0x101] = { "x transact", "x processHost", "d process", "x principalHost", "d principal", "x effectiveHost",
		"d effective" },
	[0x103] = { "e entity" },
	[0x104] = { "d mtu", "x flags", "d authDomain", "d domains", "d authDomains" },
	[0x105] = { "e entity", "x principalHost", "d principal", "d authDomain" },
	[0x106] = { "e entity" },
	[0x10E] = { "d count" },
}

local f = {
	client = ProtoField.string("vmtp.client", "Client"),
	server = ProtoField.string("vmtp.server", "Server"),
	version = ProtoField.uint8("vmtp.version", "Version"),
	domain = ProtoField.uint16("vmtp.domain", "Domain"),
	hco = ProtoField.bool("vmtp.hco", "Header checksum only (HCO)", 32, nil, 0x8000),
	epg = ProtoField.bool("vmtp.epg", "Encrypted packet group (EPG)", 32, nil, 0x4000),
	mpg = ProtoField.bool("vmtp.mpg", "Multicast packet group (MPG)", 32, nil, 0x2000),
	length = ProtoField.uint16("vmtp.length", "Length (words of segment data)"),
	control = ProtoField.uint32("vmtp.control", "Control", base.HEX),
	retransmit = ProtoField.uint8("vmtp.retransmit_count", "Retransmit count"),
	forward = ProtoField.uint8("vmtp.forward_count", "Forward count"),
	gap = ProtoField.uint8("vmtp.gap", "Interpacket gap"),
	pgcount = ProtoField.uint8("vmtp.pgcount", "Packet group count"),
	priority = ProtoField.uint8("vmtp.priority", "Priority"),
	fcode = ProtoField.uint8("vmtp.function", "Function", base.DEC, { [0] = "Request", [1] = "Response" }),
	transaction = ProtoField.uint32("vmtp.transaction", "Transaction", base.HEX),
	delivery = ProtoField.uint32("vmtp.delivery", "PacketDelivery", base.HEX),
	blocks = ProtoField.string("vmtp.delivery.blocks", "Blocks"),
	code = ProtoField.uint32("vmtp.code", "Code", base.HEX),
	code_name = ProtoField.string("vmtp.code.name", "Meaning"),
	coresident = ProtoField.string("vmtp.coresident", "Co-resident entity"),
	user = ProtoField.bytes("vmtp.user", "User data"),
	mdelivery = ProtoField.uint32("vmtp.msg_delivery", "MsgDelivery", base.HEX),
	size = ProtoField.uint32("vmtp.segment_size", "SegmentSize"),
	segment = ProtoField.bytes("vmtp.segment", "Segment data"),
	checksum = ProtoField.uint32("vmtp.checksum", "Checksum", base.HEX),
	checksum_status = ProtoField.string("vmtp.checksum.status", "Checksum status"),
	procedure = ProtoField.string("vmtp.procedure", "Management procedure"),
	parameter = ProtoField.string("vmtp.parameter", "Parameter"),
	request_in = ProtoField.framenum("vmtp.request_in", "Request in", base.NONE, frametype.REQUEST),
	response_in = ProtoField.framenum("vmtp.response_in", "Response in", base.NONE, frametype.RESPONSE),
	time = ProtoField.double("vmtp.time", "Seconds since the Request"),
}

local control_flags = { { "nrs", 31 }, { "apg", 30 }, { "nsr", 29 }, { "ner", 28 }, { "nrt", 27 }, { "mdg", 26 },
	{ "cmg", 25 }, { "sti", 24 }, { "drt", 23 } }
local code_flags = { { "cmd", 31 }, { "dgm", 30 }, { "mdm", 29 }, { "sda", 28 }, { "res", 27 }, { "cre", 26 },
	{ "mrd", 25 }, { "pic", 24 } }
local fields = {}
for _, field in pairs(f) do fields[#fields + 1] = field end
for _, flags in ipairs({ control_flags, code_flags }) do
	for _, flag in ipairs(flags) do
		local name, bit = flag[1], flag[2]
		flag.field = ProtoField.bool("vmtp." .. name, name:upper(), 32, nil, 1 << bit)
		fields[#fields + 1] = flag.field
	end
end
vmtp.fields = fields

local e = {
	short = ProtoExpert.new("vmtp.expert.short", "Shorter than a VMTP packet", expert.group.MALFORMED,
		expert.severity.ERROR),
	version = ProtoExpert.new("vmtp.expert.version", "Not version 0", expert.group.PROTOCOL, expert.severity.ERROR),
	length = ProtoExpert.new("vmtp.expert.length", "Length does not match the packet", expert.group.MALFORMED,
		expert.severity.ERROR),
	mask = ProtoExpert.new("vmtp.expert.mask", "PacketDelivery does not match the segment data",
		expert.group.MALFORMED, expert.severity.ERROR),
	checksum = ProtoExpert.new("vmtp.expert.checksum", "Bad checksum", expert.group.CHECKSUM, expert.severity.ERROR),
	reserved = ProtoExpert.new("vmtp.expert.reserved", "A reserved bit is set", expert.group.PROTOCOL,
		expert.severity.WARN),
	encrypted = ProtoExpert.new("vmtp.expert.encrypted", "Encrypted: not decoded further", expert.group.UNDECODED,
		expert.severity.NOTE),
	failure = ProtoExpert.new("vmtp.expert.failure", "The transaction failed", expert.group.RESPONSE_CODE,
		expert.severity.WARN),
	again = ProtoExpert.new("vmtp.expert.retransmission", "Sent again", expert.group.SEQUENCE, expert.severity.NOTE),
}
vmtp.experts = { e.short, e.version, e.length, e.mask, e.checksum, e.reserved, e.encrypted, e.failure, e.again }

-- IV.1: LE-25593-36.8.0.49.
local function entity(range)
	local high, low = range(0, 4):uint(), range(4, 4):uint()
	local kinds = { [0] = "BE", "LE", "RG", "UG" }
	return string.format("%s%s%s-%u-%u.%u.%u.%u", high & 0x10000000 ~= 0 and "X" or "", kinds[high >> 29 & 3],
		high & 0x80000000 ~= 0 and "A" or "", high & 0x0FFFFFFF, low >> 24, low >> 16 & 255, low >> 8 & 255,
		low & 255)
end

-- The blocks of a mask, least significant first: a digit for each block of the last of ten, a dot for what is missing.
local function draw(mask)
	local drawn = ""
	for block = 0, 31 do
		drawn = drawn .. (mask >> block & 1 == 1 and tostring(block % 10) or ".")
	end
	return drawn
end

local function code_name(code, is_response)
	local low = code & 0xFFFFFF
	if not is_response and procedures[low] then return procedures[low][1] end
	if is_response and response_codes[low] then return response_codes[low] end
	if low >= 0x800000 then return string.format("application 0x%06x", low) end
	return string.format("0x%06x", low)
end

-- 3.3: two ones-complement sums, over the odd and the even clusters of 32 octets; 0 becomes FFFF.
local function sum(range, octets)
	local sums = { 0, 0 }
	for at = 0, octets - 2, 2 do
		local which = at // 32 % 2 + 1
		sums[which] = sums[which] + range(at, 2):uint()
	end
	for which = 1, 2 do
		while sums[which] > 0xFFFF do sums[which] = (sums[which] & 0xFFFF) + (sums[which] >> 16) end
		if sums[which] == 0 then sums[which] = 0xFFFF end
	end
	return sums[1] << 16 | sums[2]
end

-- Octets of segment that the blocks of a mask have; nil if one of them is beyond its end.
local function segment_octets(mask, size)
	local octets = 0
	for block = 0, 31 do
		if mask >> block & 1 == 1 then
			if block * BLOCK >= size then return nil end
			octets = octets + math.min(BLOCK, size - block * BLOCK)
		end
	end
	return octets
end

-- Requests and Responses by Client and transaction: first Request, when it was, first Response.
local transactions = {}
function vmtp.init() transactions = {} end

local function words(tree, list, range)
	local at = 0
	for _, parameter in ipairs(list) do
		local kind, name = parameter:match("^(%a) (%w+)$")
		if kind then
			local size = kind == "e" and 8 or 4
			local text
			if kind == "e" then
				text = entity(range(at, 8))
			else
				local value = range(at, 4):uint()
				if kind == "m" then text = string.format("0x%08x %s", value, draw(value))
				elseif kind == "r" then text = code_name(value, true)
				elseif kind == "d" then text = tostring(value)
				else text = string.format("0x%08x", value) end
			end
			tree:add(f.parameter, range(at, size), name .. ": " .. text):set_text(name .. ": " .. text)
			at = at + size
		end
	end
end

local function flags(tree, range, list)
	for _, flag in ipairs(list) do tree:add(flag.field, range) end
end

-- What the checksum says; a packet without one is as good as one with.
local function check(tree, range, header_only)
	local octets = range:len() - CHECKSUM
	local wanted = range(octets, CHECKSUM):uint()
	local item = tree:add(f.checksum, range(octets, CHECKSUM))
	local status = "none"
	if wanted ~= 0 then
		status = sum(range, header_only and HEADER or octets) == wanted and "good" or "bad"
	end
	tree:add(f.checksum_status, range(octets, CHECKSUM), status):set_generated()
	if status == "bad" then item:add_proto_expert_info(e.checksum) end
end

local function match(tree, pinfo, client, transaction, is_response, is_datagram)
	local key = client .. "/" .. transaction
	local known = transactions[key]
	if not is_response then
		if not known or (not pinfo.visited and known.request == nil) then
			transactions[key] = { request = pinfo.number, time = pinfo.abs_ts }
		elseif known.response and known.request == pinfo.number and not is_datagram then
			tree:add(f.response_in, known.response):set_generated()
		end
	elseif known then
		if not known.response then known.response = pinfo.number end
		tree:add(f.request_in, known.request):set_generated()
		tree:add(f.time, pinfo.abs_ts - known.time):set_generated()
	end
	return known
end

function vmtp.dissector(buffer, pinfo, root)
	pinfo.cols.protocol = "VMTP"
	local tree = root:add(vmtp, buffer())
	local total = buffer:reported_length_remaining()
	if total < HEADER + CHECKSUM then
		tree:add_proto_expert_info(e.short)
		pinfo.cols.info = "shorter than a VMTP packet"
		return buffer:len()
	end
	-- That the capture is short (tshark -s) is nothing of the packet's.
	if buffer:len() < HEADER then
		tree:append_text(" (header not captured whole)")
		pinfo.cols.info = "header not captured whole"
		return buffer:len()
	end
	local client, server = entity(buffer(0, 8)), entity(buffer(24, 8))
	local first, control = buffer(8, 4):uint(), buffer(12, 4):uint()
	local transaction, delivery = buffer(16, 4):uint(), buffer(20, 4):uint()
	local code = buffer(32, 4):uint()
	local is_response, is_datagram = control & 1 == 1, code & 0x40000000 ~= 0
	local length = (first & 0x1FFF) * 4
	local size = buffer(60, 4):uint()

	tree:add(f.client, buffer(0, 8), client)
	local item = tree:add(f.version, buffer(8, 1), first >> 29)
	if first >> 29 ~= 0 then item:add_proto_expert_info(e.version) end
	tree:add(f.domain, buffer(8, 2), first >> 16 & 0x1FFF)
	tree:add(f.hco, buffer(8, 4))
	tree:add(f.epg, buffer(8, 4))
	tree:add(f.mpg, buffer(8, 4))
	item = tree:add(f.length, buffer(10, 2), first & 0x1FFF)
	if total ~= HEADER + length + CHECKSUM or length % 8 ~= 0 or length > GROUP then
		item:add_proto_expert_info(e.length)
	end
	local sub = tree:add(f.control, buffer(12, 4))
	flags(sub, buffer(12, 4), control_flags)
	item = sub:add(f.retransmit, buffer(13, 1), control >> 20 & 7)
	if control >> 20 & 7 > 0 then item:add_proto_expert_info(e.again) end
	sub:add(f.forward, buffer(13, 1), control >> 16 & 15)
	sub:add(is_response and f.pgcount or f.gap, buffer(14, 1), control >> 8 & 255)
	sub:add(f.priority, buffer(15, 1), control >> 4 & 15)
	sub:add(f.fcode, buffer(15, 1), control & 1)
	tree:add(f.transaction, buffer(16, 4))
	sub = tree:add(f.delivery, buffer(20, 4))
	sub:add(f.blocks, buffer(20, 4), draw(delivery)):set_generated()
	tree:add(f.server, buffer(24, 8), server)
	local known = match(tree, pinfo, client, transaction, is_response, is_datagram)

	local what = is_response and "Response" or "Request"
	if first & 0x4000 ~= 0 then
		tree:add_proto_expert_info(e.encrypted)
		pinfo.cols.info = string.format("%s %s > %s, encrypted", what, client, server)
		if buffer:len() == total then check(tree, buffer, false) end
		return buffer:len()
	end
	sub = tree:add(f.code, buffer(32, 4))
	local name = code_name(code, is_response)
	item = sub:add(f.code_name, buffer(32, 4), name)
	item:set_generated()
	flags(sub, buffer(32, 4), code_flags)
	if code & 0x08000000 ~= 0 then sub:add_proto_expert_info(e.reserved) end
	if is_response and code & 0xFFFFFF > 0 and code & 0xFFFFFF < 64 then item:add_proto_expert_info(e.failure) end

	-- Management: the Request says by its code which procedure it is, its Response has it from the Request.
	local procedure = code & 0xFFFFFF
	if is_response then procedure = known and known.procedure or 0 end
	if not is_response and procedures[procedure] then transactions[client .. "/" .. transaction].procedure = procedure end
	if procedures[procedure] then
		sub = tree:add(f.procedure, buffer(32, 32), procedures[procedure][1])
		if not is_response then words(sub, procedures[procedure], buffer(36, 28))
		elseif results[procedure] and code & 0xFFFFFF == 0 then words(sub, results[procedure], buffer(36, 28)) end
	elseif not is_response then
		if code & 0x04000000 ~= 0 then tree:add(f.coresident, buffer(36, 8), entity(buffer(36, 8))) end
		tree:add(f.user, code & 0x04000000 ~= 0 and buffer(44, 12) or buffer(36, 20))
	else
		tree:add(f.user, buffer(36, 20))
	end
	sub = tree:add(f.mdelivery, buffer(56, 4))
	if code & 0x20000000 ~= 0 then sub:append_text(" " .. draw(buffer(56, 4):uint())) end
	tree:add(f.size, buffer(60, 4))

	if length > 0 and buffer:len() >= HEADER + length then
		item = tree:add(f.segment, buffer(HEADER, length))
		-- The masks of a continued message (2.14) are relative to a group whose place is not in the packet.
		local octets = size <= GROUP and segment_octets(delivery, size) or nil
		if code & 0x10000000 == 0 or delivery == 0 or
			(size <= GROUP and (not octets or (octets + 7) // 8 * 8 ~= length)) then
			item:add_proto_expert_info(e.mask)
		end
	elseif code & 0x10000000 == 0 and length == 0 and delivery ~= 0 and not procedures[procedure] then
		tree:add_proto_expert_info(e.mask)
	end
	if buffer:len() == total and total == HEADER + length + CHECKSUM then
		check(tree, buffer, first & 0x8000 ~= 0)
	end
	pinfo.cols.info = string.format("%s %s > %s %s, transaction %u%s", what, is_response and server or client,
		is_response and client or server, name, transaction,
		code & 0x10000000 ~= 0 and string.format(", %u of %u octets", length, size) or "")
	return buffer:len()
end

DissectorTable.get("ip.proto"):add(81, vmtp)
