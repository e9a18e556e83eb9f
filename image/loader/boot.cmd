# Starts the slot that choose.cmd, which stands before this in boot.scr, names; where its kernel cannot be read, the last confirmed one. A confirmed
# slot that cannot be read: the other one is better than none, and may prove itself.
if test "${confirmed}" = a; then setenv other b; else setenv other a; fi
for try in ${slot} ${confirmed} ${other}; do
  if test "${try}" = a; then setenv from ${devnum}:3; else setenv from ${devnum}:4; fi
  setenv slot_arguments
  if load ${devtype} ${from} ${ramdisk_addr_r} slot.env; then env import -t ${ramdisk_addr_r} ${filesize} slot_arguments; fi
  if test -n "${slot_arguments}"; then
    echo "slot ${try}"
    setenv mark
    if test "${try}" != "${confirmed}"; then setenv mark ibe.pending=1; fi
    setenv bootargs ${slot_arguments} ibe.slot=${try} rauc.slot=${try} ${mark}
    # The slot's own device tree; without one for this machine, the one that the firmware handed over.
    setenv tree ${fdt_addr}
    if test -n "${fdtfile}"; then
      if load ${devtype} ${from} ${fdt_addr_r} ${fdtfile}; then setenv tree ${fdt_addr_r}; fi
    fi
    if load ${devtype} ${from} ${kernel_addr_r} vmlinuz; then
      if load ${devtype} ${from} ${ramdisk_addr_r} initrd.img; then booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${tree}; fi
    fi
  fi
done
echo "No slot can be read. Trying again in five minutes."
sleep 300
reset
