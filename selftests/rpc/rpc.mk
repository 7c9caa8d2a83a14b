# SPDX-License-Identifier: GPL-2.0
# The ONC RPC programs: rpcgen's stubs and dispatchers of sample.x, unchanged, against libtirpc and libvmtprpc. They are
# not static: libtirpc cannot be, and the guests have its libraries because rpcinfo and rpcbind need them.

rpc := $(selftests)rpc
rpc-out := $(OUTPUT)/rpc
rpc-installed := $(abspath $(OUTPUT))/installed
rpc-library := $(OUTPUT)/libvmtprpc.so.1
rpc-flags := -O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-unused-variable -Wno-cast-function-type -D_GNU_SOURCE \
	-I$(rpc-out) -I$(rpc) -I$(KSFT)
# As a program outside this clone would: from what `make install` installed, which the guest has beside the program.
rpc-libs = $(shell PKG_CONFIG_PATH=$(rpc-installed)/lib/pkgconfig pkg-config --cflags --libs vmtprpc) \
	-Wl,-rpath,'$$ORIGIN'

.PHONY: rpc-install
rpc-install:
	@$(MAKE) --no-print-directory -s -C $(selftests)../userspace-tools/lib install \
		OUT=$(abspath $(OUTPUT))/lib PREFIX=$(rpc-installed) DESTDIR= >/dev/null

$(rpc-library): rpc-install
	@cp -u $(rpc-installed)/lib/$(@F) $@

# rpcgen names the header in what it makes after its input.
$(rpc-out)/sample.x: $(rpc)/sample.x
	@mkdir -p $(@D)
	@cp $< $@
	@cd $(@D) && rm -f sample.h sample_*.c && rpcgen -h -o sample.h sample.x && rpcgen -m -o sample_svc.c sample.x && \
		rpcgen -c -o sample_xdr.c sample.x && rpcgen -l -o sample_clnt.c sample.x

$(OUTPUT)/rpc-server: $(rpc)/server.c $(rpc-out)/sample.x $(rpc-library)
	$(CC) $(rpc-flags) -o $@ $< $(rpc-out)/sample_svc.c $(rpc-out)/sample_xdr.c $(rpc-libs)

$(OUTPUT)/rpc-client: $(rpc)/client.c $(rpc-out)/sample.x $(rpc-library)
	$(CC) $(rpc-flags) -o $@ $< $(rpc-out)/sample_clnt.c $(rpc-out)/sample_xdr.c $(rpc-libs)

$(OUTPUT)/rpc-hostile: $(rpc)/hostile.c $(rpc-library)
	$(CC) $(rpc-flags) -o $@ $< $(rpc-libs)

$(OUTPUT)/rpc-trouble: $(rpc)/trouble.c $(rpc-library)
	$(CC) $(rpc-flags) -o $@ $< $(rpc-libs)

$(OUTPUT)/rpc-forwarded: $(rpc)/forwarded.c $(rpc-library)
	$(CC) $(rpc-flags) -o $@ $< $(rpc-libs)

$(OUTPUT)/rpc-duplicates: $(rpc)/duplicates.c $(rpc-library)
	$(CC) $(rpc-flags) -o $@ $< $(rpc-libs)
