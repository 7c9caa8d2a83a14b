# SPDX-License-Identifier: GPL-2.0
# What the Makefiles of the kselftests share, in the form of tools/testing/selftests: KSFT names that folder of the
# kernel's source. Everything is static, because guests have no compiler's libraries.
ifeq ($(KSFT),)
$(error KSFT must name tools/testing/selftests of the kernel's source: run make test-vm or make bench at the top)
endif

selftests := $(dir $(lastword $(MAKEFILE_LIST)))
CFLAGS += -O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare -Werror=implicit-function-declaration
CFLAGS += -I$(selftests)../include/uapi -I$(selftests)../include -I$(selftests)
LDFLAGS += -static
LDLIBS += -lpthread -lm
LOCAL_HDRS += $(wildcard *.h $(selftests)*.h $(selftests)helpers/*.h $(selftests)../include/vmtp.h \
	$(selftests)../include/uapi/linux/*.h)

include $(KSFT)/lib.mk
